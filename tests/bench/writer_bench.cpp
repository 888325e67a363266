// SPDX-License-Identifier: Apache-2.0
// What one change costs: the journal's begin and written, and the writer's request, by kind. Root.
#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>

#include <netinet/in.h>
#include <sys/socket.h>

#include "actuators/journal.hpp"
#include "actuators/writer.hpp"
#include "netns/namespace.hpp"
#include "sys/netns.hpp"
#include "sys/sockets.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using actuators::Journal;
using actuators::Writer;

namespace {

constexpr int repetitions = 200;

template <class T> T take(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

template <class Work> void measure(const char* name, Work work) {
    std::array<double, repetitions> times{};
    for (int i = 0; i < repetitions; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        work(i);
        times[static_cast<std::size_t>(i)] =
            std::chrono::duration<double, std::micro>(std::chrono::steady_clock::now() - begin).count();
    }
    std::ranges::sort(times);
    fmt::print("{:<32} median {:6.1f} us   p99 {:6.1f} us\n", name, times[repetitions / 2],
               times[repetitions * 99 / 100]);
}

void check(const Outcome& outcome) {
    if (outcome.kind != Outcome::Kind::written) throw std::runtime_error("not written: " + outcome.error);
}

// Returns the descriptor.
std::uint64_t listen_on_loopback() {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in any{};
    any.sin_family = AF_INET;
    any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    must(fd >= 0, "socket");
    must(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0 && ::listen(fd, 1) == 0, "listen");
    return static_cast<std::uint64_t>(fd);
}

ListenerRef reference(const Process& server) {
    const auto fd = static_cast<int>(server.value());
    const sys::Fd socket = take(sys::fetch_descriptor(server.pid(), fd));
    struct stat status{};
    must(::fstat(socket.value(), &status) == 0, "fstat");
    return {.cookie = take(sys::socket_cookie(socket.value())),
            .inode = status.st_ino,
            .local = {},
            .pid = server.pid(),
            .fd = fd};
}

void bench_writer(const Process& server) {
    auto writer = take(Writer::start());
    Scope scope{.netns = take(sys::netns_of(server.pid())),
                .netns_pid = server.pid(),
                .listener = reference(server),
                .pod = {}};
    auto value = take(writer.read(TunableId::somaxconn, scope));
    measure("writer: read sysctl", [&](int) { take(writer.read(TunableId::somaxconn, scope)); });
    measure("writer: write sysctl", [&](int) {
        check(writer.write(TunableId::somaxconn, scope, value, value + 1));
        ++value;
    });
    measure("writer: write listener", [&](int i) {
        const auto from = static_cast<std::uint64_t>(i) + 1;
        check(writer.write(TunableId::listener_backlog, scope, from, from + 1));
    });
    scope.listener->pid = 0;
    measure("writer: read listener, no hint", [&](int) { take(writer.read(TunableId::listener_backlog, scope)); });
    scope.netns_pid = 0;
    measure("writer: read sysctl, no hint", [&](int) { take(writer.read(TunableId::somaxconn, scope)); });
}

void bench_journal(const std::filesystem::path& directory) {
    auto journal = take(Journal::open(directory, "bench"));
    Change change;
    change.tunable = TunableId::listener_backlog;
    change.scope = {.netns = {.cookie = 1, .inode = 1}, .netns_pid = 1, .listener = ListenerRef{}, .pod = Pod{}};
    change.from = "128";
    change.to = "1024";
    change.state = ChangeState::applied;
    change.why = "accept queue of 0.0.0.0:8080 (nginx) reached 97 of 128 while it was being accepted from";
    change.evidence = {{"queue_peak", 97}, {"limit", 128}, {"arrivals", 1211}};
    std::int64_t id = 0;
    measure("journal: begin", [&](int i) {
        change.scope.netns.cookie = static_cast<std::uint64_t>(i);
        id = take(journal.begin(change));
    });
    measure("journal: written",
            [&](int) { must(journal.written(id, std::chrono::microseconds(310)).has_value(), "written"); });
    measure("journal: holdings (200)", [&](int) { take(journal.holdings()); });
}

} // namespace

int main() {
    try {
        const Namespace netns;
        const Process server(netns, listen_on_loopback);
        bench_writer(server);
        const std::filesystem::path directory = "/tmp/" + random_name("bpftune-bench-");
        bench_journal(directory);
        std::filesystem::remove_all(directory);
    } catch (const std::exception& error) {
        fmt::print(stderr, "writer-bench: {}\n", error.what());
        return 1;
    }
    return 0;
}

// SPDX-License-Identifier: Apache-2.0
// The loads of scripts/bench, in namespaces of their own. Root.
//
//   bench-load rate DURATION    connects, accepts and closes on loopback, one after the other; prints how many a
//   second,
//                               and how many a second of its processor's time: one thread that never waits, so on a
//                               quiet machine both are the same, and on a busy one the second still tells
//   bench-load empty DURATION   the same, with empty programs at the hooks of the service's
//   bench-load press COUNT      presses the accept queues of COUNT servers, each in a namespace of its own, once
//   bench-load scale COUNT      COUNT idle processes, each in a namespace of its own with ten listeners, and 100,000
//   open
//                               files in all; says "ready" and holds them until its standard input ends
//   bench-load listen COUNT     COUNT listeners in the network namespace that it is in, until it is killed
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <deque>
#include <exception>
#include <optional>
#include <string_view>
#include <thread>
#include <vector>

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <unistd.h>

#include "bench/empty_programs.hpp"
#include "core/parse.hpp"
#include "core/time.hpp"
#include "netns/namespace.hpp"
#include "netns/probes/traffic.hpp"

namespace {

using namespace bpftune;
using namespace bpftune::testing;
using Clock = std::chrono::steady_clock;

constexpr std::uint16_t port = 8080;

// scripts/bench holds its service to these.
std::string own_name() { return random_name("bpftune-bench-"); }

// Connections are made in groups, one for each destination: fewer in a group than a namespace has ports, so that none
// waits for one that is in TIME_WAIT.
constexpr std::size_t group = 16'000;
constexpr std::size_t groups = 200;

void connect_once(const sys::Fd& listener, const char* address) {
    const sys::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    must(connect_to(client, address, port) == 0, "connect");
    const sys::Fd accepted(::accept4(listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
    must(static_cast<bool>(accepted), "accept");
}

double cpu_seconds() {
    timespec time{};
    must(::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time) == 0, "clock_gettime");
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
}

void rate(Nanoseconds length) {
    const Namespace netns{own_name()};
    netns.inside([&] {
        const auto listener = listen_on("0.0.0.0", port, 128);
        std::size_t connections = 0;
        const double cpu_begin = cpu_seconds();
        const auto begin = Clock::now();
        auto now = begin;
        for (; now - begin < length && connections < group * groups; now = Clock::now()) {
            const std::string address = fmt::format("127.0.0.{}", 1 + connections / group);
            for (int i = 0; i < 100; ++i, ++connections) connect_once(listener, address.c_str());
        }
        const auto made = static_cast<double>(connections);
        fmt::print("{:.0f} {:.0f}\n", made / Seconds(now - begin).count(), made / (cpu_seconds() - cpu_begin));
    });
}

// Asks for more than the namespace allows, and never accepts.
struct Server {
    static constexpr const char* somaxconn = "64";
    static constexpr std::size_t burst = 40; // more than half of that

    Server() {
        netns.write("sys/net/core/somaxconn", somaxconn);
        process.emplace(netns, [] {
            static const sys::Fd listener = listen_on("127.0.0.1", port, 65535);
            return std::uint64_t{1};
        });
    }
    void press() {
        netns.inside([this] { waiting = clients(burst, "127.0.0.1", port); });
    }

    Namespace netns{own_name()};
    std::optional<Process> process;
    std::vector<sys::Fd> waiting;
};

void press(std::size_t count) {
    constexpr auto until_seen = std::chrono::seconds(3); // new namespaces are found by the tick
    constexpr auto between = std::chrono::milliseconds(50);
    std::deque<Server> servers(count);
    std::this_thread::sleep_for(until_seen);
    for (Server& server : servers) {
        server.press();
        std::this_thread::sleep_for(between);
    }
}

std::vector<sys::Fd> listeners(std::size_t count) {
    std::vector<sys::Fd> held;
    for (std::size_t i = 0; i < count; ++i)
        held.push_back(listen_on("127.0.0.1", static_cast<std::uint16_t>(port + i), 128));
    return held;
}

void sit_listening(std::size_t count) {
    const auto held = listeners(count);
    ::pause();
}

// Its namespace has no name, and so ends with it.
std::uint64_t sit_idle(std::size_t files) {
    static std::vector<sys::Fd> held;
    must(::unshare(CLONE_NEWNET) == 0, "unshare");
    held = listeners(10);
    held.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const int file = held.back().value();
    while (held.size() < files) {
        held.emplace_back(::fcntl(file, F_DUPFD_CLOEXEC, 0));
        must(static_cast<bool>(held.back()), "open a file");
    }
    return 1;
}

void scale(std::size_t count) {
    constexpr std::size_t files = 100'000;
    constexpr unsigned longest_seconds = 600;
    ::alarm(longest_seconds); // whatever became of who waits for it; its processes end with it
    rlimit open_files{};
    must(::getrlimit(RLIMIT_NOFILE, &open_files) == 0, "getrlimit");
    open_files.rlim_cur = open_files.rlim_max;
    must(::setrlimit(RLIMIT_NOFILE, &open_files) == 0, "setrlimit");
    std::deque<Process> processes;
    for (std::size_t i = 0; i < count; ++i) processes.emplace_back([&] { return sit_idle(files / count); });
    fmt::print("ready\n");
    std::fflush(stdout);
    while (std::getchar() != EOF) {
    }
}

int usage() {
    std::fputs("bench-load rate DURATION | empty DURATION | press COUNT | scale COUNT | listen COUNT\n", stderr);
    return 2;
}

int run(std::string_view what, std::string_view argument) {
    const auto length = parse_duration(argument);
    const auto count = parse_number(argument);
    if (what == "rate" && length) {
        rate(*length);
    } else if (what == "empty" && length) {
        const EmptyPrograms nothing;
        rate(*length);
    } else if (what == "press" && count) {
        press(*count);
    } else if (what == "scale" && count && *count > 0) {
        scale(*count);
    } else if (what == "listen" && count) {
        sit_listening(*count);
    } else {
        return usage();
    }
    return EXIT_SUCCESS;
}

} // namespace

int main(int argc, char** argv) {
    try {
        return argc == 3 ? run(argv[1], argv[2]) : usage();
    } catch (const std::exception& error) {
        std::fprintf(stderr, "bench-load: %s\n", error.what());
        return EXIT_FAILURE;
    }
}

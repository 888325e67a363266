// SPDX-License-Identifier: Apache-2.0
#include "actuators/writer_process.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <memory>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actuators/object.hpp"
#include "actuators/protocol.hpp"
#include "sys/capabilities.hpp"
#include "sys/code.hpp"
#include "sys/module_types.hpp"

namespace bpftune::actuators {
namespace {

// Each was found by leaving it out.
constexpr std::array needed_capabilities{
    CAP_SYS_ADMIN,       // setns(); the types of a module
    CAP_SYS_PTRACE,      // /proc/PID/ns/net and pidfd_getfd() of processes of other users
    CAP_NET_ADMIN,       // sysctls of a namespace whose root is not ours; SIOCGSKNS
    CAP_DAC_READ_SEARCH, // /proc/PID/fd of other users, when a hint is stale
};

void reset_signals() {
    for (int number = 1; number < NSIG; ++number) std::signal(number, SIG_DFL);
    // The parent decides when the writer ends, also where a terminal or systemd signals both.
    for (const int number : {SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGPIPE}) std::signal(number, SIG_IGN);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Descriptors 0 to 2 stay taken, so that nothing opened later is mistaken for a standard stream.
Result<> close_all_but(std::vector<int> kept) {
    std::ranges::sort(kept);
    unsigned next = 0;
    for (const int fd : kept) {
        const auto number = static_cast<unsigned>(fd);
        if (number > next) ::close_range(next, number - 1, 0);
        next = std::max(next, number + 1);
    }
    ::close_range(next, ~0U, 0);
    while (true) {
        const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
        if (null < 0) return system_failure(errno, "open /dev/null");
        if (null <= STDERR_FILENO) continue;
        ::close(null);
        return {};
    }
}

Result<> prepare(int socket, std::span<const int> inherit, pid_t parent) {
    ::prctl(PR_SET_NAME, "bpftune-writer", 0, 0, 0);
    reset_signals();
    std::vector<int> kept(inherit.begin(), inherit.end());
    kept.push_back(socket);
    if (auto closed = close_all_but(std::move(kept)); !closed) return closed;
    if (auto dropped = sys::keep_capabilities(needed_capabilities); !dropped) return dropped;
    // After the capabilities: a change of credentials may clear it.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0) return system_failure(errno, "PR_SET_PDEATHSIG");
    if (::getppid() != parent) ::_exit(0); // it ended before that took effect
    sys::fetch_code();
    return {};
}

Answer answer(Outcome::Kind kind, std::uint64_t value, int code, std::string_view error) {
    Answer answer{.kind = static_cast<std::uint32_t>(kind), .code = code, .value = value};
    answer.error_size = static_cast<std::uint32_t>(std::min(error.size(), answer.error.size()));
    std::memcpy(answer.error.data(), error.data(), answer.error_size);
    return answer;
}

Answer refusal(const Error& error) { return answer(Outcome::Kind::failed, 0, error.code, error.message); }

Answer read(const tunables::Tunable& tunable, const Scope& scope) {
    const auto value = read_object(tunable, scope);
    if (value) return answer(Outcome::Kind::written, *value, 0, {});
    return refusal(value.error());
}

Answer write(const tunables::Tunable& tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    if (to < tunable.kernel_min || to > tunable.kernel_max)
        return refusal(
            {fmt::format("{}: {} is not within {} and {}", tunable.name, to, tunable.kernel_min, tunable.kernel_max),
             ERANGE});
    const Outcome outcome = write_object(tunable, scope, from, to);
    return answer(outcome.kind, outcome.value, 0, outcome.error);
}

Answer visit(const Request& request, sys::Fd& passed) {
    if (request.netlink > sys::Netlink::netfilter)
        return refusal({fmt::format("netlink socket {} is none of the writer's", std::to_underlying(request.netlink))});
    auto visit = sys::visit_netns({.cookie = request.netns_cookie, .inode = request.netns_inode}, request.netns_pid,
                                  request.netlink);
    if (!visit) return refusal(visit.error());
    passed = std::move(visit->socket);
    Answer done = answer(Outcome::Kind::written, 0, 0, {});
    done.netns_cookie = visit->id.cookie;
    done.sysctls = visit->sysctls;
    return done;
}

Answer conntrack_types(sys::Fd& passed) {
    auto types = sys::conntrack_types();
    if (!types) return refusal(types.error());
    passed = std::move(*types);
    return answer(Outcome::Kind::written, 0, 0, {});
}

Answer on_tunable(const Request& request) {
    if (request.tunable >= tunables::catalog().size())
        return refusal({fmt::format("tunable {} is not in the catalog", request.tunable)});
    const tunables::Tunable& tunable = tunables::catalog()[request.tunable];
    const Scope scope = scope_of(request);
    return request.operation == Operation::write ? write(tunable, scope, request.from, request.to)
                                                 : read(tunable, scope);
}

// `passed`: a descriptor that goes with the answer.
Answer serve(const Request& request, std::size_t size, sys::Fd& passed) {
    if (size != sizeof request || request.version != protocol_version)
        return refusal(
            {fmt::format("a request of {} bytes, version {}, is none of the writer's", size, request.version)});
    switch (request.operation) {
    case Operation::read:
    case Operation::write: return on_tunable(request);
    case Operation::visit: return visit(request, passed);
    case Operation::conntrack_types: return conntrack_types(passed);
    }
    return refusal({fmt::format("operation {} is none of the writer's", static_cast<unsigned>(request.operation))});
}

bool send(int socket, const Answer& answer, const sys::Fd& passed = {}) {
    iovec place{.iov_base = const_cast<Answer*>(&answer), .iov_len = sizeof answer};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    if (passed) {
        message.msg_control = control.data();
        message.msg_controllen = control.size();
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int));
        const int fd = passed.value();
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof answer);
}

} // namespace

void run_writer_process(int socket, std::span<const int> inherit, pid_t parent) {
    const auto prepared = prepare(socket, inherit, parent);
    const bool told = send(socket, prepared ? answer(Outcome::Kind::written, 0, 0, {}) : refusal(prepared.error()));
    while (prepared && told) {
        Request request;
        const ssize_t size = ::recv(socket, &request, sizeof request, MSG_TRUNC);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        sys::Fd passed; // closed here as soon as it is on its way
        const Answer reply = serve(request, static_cast<std::size_t>(size), passed);
        if (!send(socket, reply, passed)) break;
    }
    ::_exit(0);
}

} // namespace bpftune::actuators

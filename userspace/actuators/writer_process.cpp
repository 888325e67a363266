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

#include "actuators/listener_process.hpp"
#include "actuators/nudge.hpp"
#include "actuators/object.hpp"
#include "actuators/protocol.hpp"
#include "sys/capabilities.hpp"
#include "sys/code.hpp"
#include "sys/module_types.hpp"
#include "tunables/codec.hpp"

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

Answer read(const tunables::Tunable& tunable, const Scope& scope) {
    const auto value = read_object(tunable, scope);
    if (value) return answer(Outcome::Kind::written, *value, 0, {});
    return refusal(value.error());
}

Answer in_use(const tunables::Tunable& tunable, const Scope& scope) {
    const auto use = use_of_object(tunable, scope);
    if (use) return answer(Outcome::Kind::written, *use, 0, {});
    return refusal(use.error());
}

Answer write(const tunables::Tunable& tunable, const Request& request) {
    const auto [from, to] = std::pair(request.from, request.to);
    if (to < tunable.kernel_min || to > tunable.kernel_max)
        return refusal({fmt::format("{}: {} is not within {} and {}", tunable.name, tunables::text_of(tunable, to),
                                    tunables::text_of(tunable, tunable.kernel_min),
                                    tunables::text_of(tunable, tunable.kernel_max)),
                        ERANGE});
    const Scope scope = scope_of(request);
    const Outcome outcome = request.operation == Operation::lower ? lower_object(tunable, scope, from, to)
                                                                  : write_object(tunable, scope, from, to);
    return answer(outcome.kind, outcome.value, 0, outcome.error);
}

using Passed = std::vector<sys::Fd>; // go with the answer

Answer visit(const Request& request, Passed& passed) {
    if (request.netlink > sys::Netlink::netfilter)
        return refusal({fmt::format("netlink socket {} is none of the writer's", std::to_underlying(request.netlink))});
    const auto path_size = std::min<std::size_t>(request.netns_path_size, request.netns_path.size());
    auto visit = sys::visit_netns({.cookie = request.netns_cookie, .inode = request.netns_inode},
                                  {.pid = request.netns_pid, .path = {request.netns_path.data(), path_size}},
                                  {.socket = request.netlink,
                                   .counters = request.counters != 0,
                                   .timeouts = request.timeouts != 0,
                                   .devices = request.devices != 0});
    if (!visit) return refusal(visit.error());
    for (sys::Fd* fd : {&visit->socket, &visit->netstat, &visit->sockstat, &visit->counts, &visit->sysfs})
        if (*fd) passed.push_back(std::move(*fd));
    Answer done = answer(Outcome::Kind::written, 0, 0, {});
    done.netns_cookie = visit->id.cookie;
    done.sysctls = visit->sysctls;
    done.in_user_ns = visit->user_ns_owner ? 1 : 0;
    done.user_ns_owner = visit->user_ns_owner.value_or(0);
    done.has_timeouts = visit->timeouts ? 1 : 0;
    done.timeouts = visit->timeouts.value_or(sys::ConntrackTimeouts{});
    return done;
}

Answer conntrack_types(Passed& passed) {
    auto types = sys::conntrack_types();
    if (!types) return refusal(types.error());
    passed.push_back(std::move(*types));
    return answer(Outcome::Kind::written, 0, 0, {});
}

Answer nudged(const Request& request) {
    const auto done = nudge(scope_of(request), request.nudge_link);
    return done ? answer(Outcome::Kind::written, 0, 0, {}) : refusal(done.error());
}

Answer on_tunable(const Request& request) {
    if (request.tunable >= tunables::catalog().size())
        return refusal({fmt::format("tunable {} is not in the catalog", request.tunable)});
    const tunables::Tunable& tunable = tunables::catalog()[request.tunable];
    if (request.operation == Operation::read) return read(tunable, scope_of(request));
    if (request.operation == Operation::in_use) return in_use(tunable, scope_of(request));
    return write(tunable, request);
}

bool is_about_socket(const Request& request) {
    return request.tunable < tunables::catalog().size() && is_of_socket(tunables::catalog()[request.tunable].id);
}

// `passed`: the descriptors that go with the answer.
Answer serve(const Request& request, std::size_t size, ListenerProcess& listeners, Passed& passed) {
    if (size != sizeof request || request.version != protocol_version)
        return refusal(
            {fmt::format("a request of {} bytes, version {}, is none of the writer's", size, request.version)});
    switch (request.operation) {
    case Operation::read:
    case Operation::write:
    case Operation::lower:
    case Operation::in_use: return is_about_socket(request) ? listeners.ask(request) : on_tunable(request);
    case Operation::visit: return visit(request, passed);
    case Operation::conntrack_types: return conntrack_types(passed);
    case Operation::nudge: return nudged(request);
    }
    return refusal({fmt::format("operation {} is none of the writer's", static_cast<unsigned>(request.operation))});
}

bool send(int socket, const Answer& answer, const Passed& passed = {}) {
    iovec place{.iov_base = const_cast<Answer*>(&answer), .iov_len = sizeof answer};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(most_passed * sizeof(int))> control{};
    msghdr message{};
    message.msg_iov = &place;
    message.msg_iovlen = 1;
    if (!passed.empty()) {
        message.msg_control = control.data();
        message.msg_controllen = CMSG_SPACE(passed.size() * sizeof(int));
        cmsghdr* header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(passed.size() * sizeof(int));
        for (std::size_t i = 0; i < passed.size(); ++i) {
            const int fd = passed[i].value();
            std::memcpy(CMSG_DATA(header) + i * sizeof fd, &fd, sizeof fd);
        }
    }
    return ::sendmsg(socket, &message, MSG_NOSIGNAL) == static_cast<ssize_t>(sizeof answer);
}

} // namespace

void run_writer_process(int socket, std::span<const int> inherit, pid_t parent) {
    ListenerProcess listeners(on_tunable);
    auto prepared = prepare(socket, inherit, parent);
    if (prepared) prepared = listeners.start();
    const bool told = send(socket, prepared ? answer(Outcome::Kind::written, 0, 0, {}) : refusal(prepared.error()));
    while (prepared && told) {
        Request request;
        const ssize_t size = ::recv(socket, &request, sizeof request, MSG_TRUNC);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        Passed passed; // closed here as soon as they are on their way
        Answer reply = serve(request, static_cast<std::size_t>(size), listeners, passed);
        reply.sequence = request.sequence;
        if (!send(socket, reply, passed)) break;
    }
    ::_exit(0);
}

} // namespace bpftune::actuators

// SPDX-License-Identifier: Apache-2.0
#include "actuators/writer_process.hpp"

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <sys/capability.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "actuators/listener_process.hpp"
#include "actuators/serve.hpp"
#include "sys/capabilities.hpp"
#include "sys/code.hpp"
#include "sys/syscall_lists.hpp"

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
    ListenerProcess listeners(serve_apart);
    const Serve apart = [&](const Request& request) { return listeners.ask(request); };
    auto prepared = prepare(socket, inherit, parent);
    const auto restricted = sys::restrict_syscalls(sys::writer_syscalls()); // and what is forked from here on
    if (prepared) prepared = listeners.start();
    const std::string unrestricted = restricted ? std::string() : restricted.error().message;
    const bool told =
        send(socket, prepared ? answer(Outcome::Kind::written, 0, 0, unrestricted) : refusal(prepared.error()));
    while (prepared && told) {
        Request request;
        const ssize_t size = ::recv(socket, &request, sizeof request, MSG_TRUNC);
        if (size < 0 && errno == EINTR) continue;
        if (size <= 0) break;
        Passed passed; // closed here as soon as they are on their way
        Answer reply = serve(request, static_cast<std::size_t>(size), apart, passed);
        reply.sequence = request.sequence;
        if (!send(socket, reply, passed)) break;
    }
    ::_exit(0);
}

} // namespace bpftune::actuators

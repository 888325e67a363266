// SPDX-License-Identifier: Apache-2.0
// Requests about listening sockets, and about the descriptors of processes, go to a process of the writer's own. Their
// holders are anybody, and can make it wait in the kernel for as long as they like: pidfd_getfd() waits while a holder
// is in exec() (exec_update_lock, kernel/fork.c), listen() for the socket's lock, and not even SIGKILL ends that
// (lock_sock(), net/core/sock.c). Whoever looks at /proc/PID/fd/N has the file in hand for a moment (fs/proc/fd.c,
// proc_fd_link): closed just then, it is for him to end, and by SO_LINGER that may take long. A request that takes too
// long costs that listener its tuning, or that process a look, many of them their network namespace, or all looks for
// some seconds, and nobody else: this process is killed and another forked.
#pragma once

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include <sys/types.h>

#include "actuators/serve.hpp"
#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace bpftune::actuators {

// Error codes of answers. The first: it was tried, and what is asked for may still come to pass, at any time.
inline constexpr int no_answer = ETIMEDOUT;
inline constexpr int not_tried = ETIME;

class ListenerProcess {
public:
    explicit ListenerProcess(Serve serve) : serve_(std::move(serve)) {} // by it, in the process
    ListenerProcess(const ListenerProcess&) = delete;
    ListenerProcess& operator=(const ListenerProcess&) = delete;
    ~ListenerProcess() = default; // it ends with this process

    Result<> start();

    // Takes at most 600 ms. What gave no answer is left alone for five minutes, its process's other listeners with it;
    // what takes the kernel longer to let go of, until then. Requests without an answer have 1.2 s together, and 1/20
    // of the time from then on. A network namespace that has used up as much is refused at once, as is one with four
    // that the kernel does not let go of; others get at least 400 ms, which is more than any search takes. With 16 on
    // the node that the kernel does not let go of, each network namespace, or all those together that one user, or
    // root in one cgroup, made for himself, has one at most from then on; with 64 everything is refused.
    Answer ask(const Request& request);

private:
    static constexpr Nanoseconds most_allowance = std::chrono::milliseconds(1200);
    // What a request is about: a socket, by its cookie; or 0 and the process whose descriptors are looked at.
    using Subject = std::pair<std::uint64_t, int>;
    struct Silent {
        MonoTime until;
        int pid = 0; // of a socket: the holder, as far as is known
    };

    // Who is held to account for it.
    struct Group {
        enum class Kind : std::uint8_t { netns, user, cgroup };
        Kind kind = Kind::netns;
        std::uint64_t number = 0; // an inode, or the uid of who made the user namespaces that it is in
        std::string cgroup = {};  // of who holds the listener, as /proc/PID/cgroup has it; empty: not known

        bool operator==(const Group&) const = default;
    };
    struct Killed {
        Request request; // what it was asked
        Group group;
    };

    // For what gives no answer.
    struct Allowance {
        Nanoseconds at_last = most_allowance;
        MonoTime last;
        [[nodiscard]] Nanoseconds left(MonoTime now) const;
        void use(Nanoseconds used, MonoTime now);
    };

    static Subject subject_of(const Request& request);
    static Group group_of(const Request& request);
    [[nodiscard]] std::optional<std::string> reason_by_killed(const Request& request) const;
    std::optional<std::string> reason_to_refuse(const Request& request, MonoTime now);
    [[nodiscard]] bool is_left_alone(const Request& request, MonoTime now) const;
    Answer wait_for_answer(const Request& request, MonoTime begun);
    void leave_alone(const Request& request, MonoTime now);
    void kill(const Request& request);
    void reap();

    Serve serve_;
    pid_t pid_ = -1;
    sys::Fd socket_;
    std::map<pid_t, Killed> killed_; // and not ended yet
    std::map<Subject, Silent> silent_;
    Allowance allowance_;                           // of all
    std::map<std::uint32_t, Allowance> allowances_; // by namespace, as far as used; 0: of looks at descriptors
};

} // namespace bpftune::actuators

// SPDX-License-Identifier: Apache-2.0
// Network namespaces: who is in which, and going in and out. What setns() changes is the calling thread.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include <sys/types.h>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// That of the calling thread.
Result<NetnsId> own_netns();

// That of a process. Enters it to read the cookie if it is not the caller's own (CAP_SYS_ADMIN, CAP_SYS_PTRACE).
Result<NetnsId> netns_of(pid_t pid);

// That of the kernel's own threads, to which the values of the node belong. Process 1 would be the wrong one to ask:
// in a container it may be anything, and a security module may guard it. Error: kthreadd is not visible (in a
// container: without hostPID), so the init namespace cannot be told.
Result<NetnsId> init_netns();

// The uid, as the caller's user namespace counts, that made the user namespace which owns it (ioctl_ns(2)). nullopt:
// that is the node's own, or the kernel does not tell.
std::optional<std::uint32_t> user_ns_owner(const Fd& netns);

// The outermost user namespace that it is in, below the node's own: whoever made that may make any number in it, each
// by another uid. nullopt as above.
struct UserNs {
    std::uint32_t inode = 0;
    std::uint32_t owner = 0; // uid, as above
};
std::optional<UserNs> outermost_user_ns(const Fd& netns);

// Where to look for a namespace first; what is found there is checked all the same.
struct NetnsHint {
    pid_t pid = 0;    // a process in it; 0: none is known
    std::string path; // a file that it is bound to; empty: none is known
};

// Opens the namespace with this inode number: where the hint says; else the caller's own, that of any process (of a
// main thread); else one that is bound to a file (`ip netns`, CNI) in this mount namespace or that of process 1.
// Whether it is the same namespace and not a later one with the same number, only NetnsGuard::enter says. Error codes:
// ESTALE if there is none; EACCES if there is none among the processes that could be looked at, which in a container
// without hostPID are its own; else errno of what kept it from being found or ruled out.
Result<Fd> find_netns(const NetnsId& id, const NetnsHint& hint);

// Each network namespace that a process is in (of a main thread) or that is bound to a file (as find_netns() knows
// it), in no order, once; the descriptor lives for the call. Error, when all have been visited: the first that could
// not be opened, or for which `visit` failed; one that ended meanwhile is none.
Result<> for_each_netns(const std::function<Result<>(const Fd& netns)>& visit);

// While it lives, the thread that made it is in another network namespace. It must be destroyed on that thread.
class NetnsGuard {
public:
    // Error codes: ESTALE: what was entered is not `expected`; EOPNOTSUPP: nothing tells it from a later one with its
    // number, as `expected` or this kernel has no cookie. The thread is back where it was.
    static Result<NetnsGuard> enter(const Fd& netns, const NetnsId& expected);
    // To look around, whichever it is.
    static Result<NetnsGuard> enter(const Fd& netns);

    NetnsGuard(NetnsGuard&&) noexcept = default;
    NetnsGuard& operator=(NetnsGuard&&) = delete;
    ~NetnsGuard(); // goes back, or aborts: nothing may go on in a namespace that it does not expect

private:
    explicit NetnsGuard(Fd home) : home_(std::move(home)) {}
    Fd home_; // none: it is where it was
};

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
// Network namespaces: who is in which, and going in and out. What setns() changes is the calling thread.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

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

// Opens the namespace with this inode number: that of process `hint`; else the caller's own, that of any process (of a
// main thread); else one that is bound to a file in this mount namespace (`ip netns`, CNI). Whether it is the same
// namespace and not a later one with the same number, only NetnsGuard::enter says. Error codes: ESTALE if there is
// none; EACCES if there is none among the processes that could be looked at.
Result<Fd> find_netns(const NetnsId& id, pid_t hint);

// The file that a namespace is bound to, from the text of /proc/self/mountinfo (Documentation/filesystems/proc.rst,
// 3.5); nullopt: none.
std::optional<std::string> bound_netns(std::string_view mountinfo, std::uint32_t inode);

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

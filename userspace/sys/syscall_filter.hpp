// SPDX-License-Identifier: Apache-2.0
// Gives up system calls for good (seccomp): what a process never calls, nobody who takes it over can use.
#pragma once

#include <cstdint>
#include <vector>

#include "core/result.hpp"

namespace bpftune::sys {

// A call is allowed where of the bits of `mask` in its argument `index` (from 0; no pointer) those of `value` are set,
// and the others not.
struct ConditionalSyscall {
    const char* name = nullptr;
    unsigned index = 0;
    std::uint64_t mask = 0;
    std::uint64_t value = 0;
};

// By the kernel's names ("pread64"). Those that this processor does not have are left out: arm64 has no "open".
struct SyscallFilter {
    std::vector<const char*> allowed;
    std::vector<ConditionalSyscall> allowed_if; // of several rows of a name one has to hold
    std::vector<const char*> fatal;             // the process is killed by SIGSYS
};

// For the whole process, all its threads and what they start, for good; and no_new_privs with it. What is in no
// list fails with EPERM, which the kernel's log has; clone3() with ENOSYS, as its flags cannot be looked at: then
// clone() is called. Takes no capability. Error: they are not restricted; in a build with AddressSanitizer never.
Result<> restrict_syscalls(const SyscallFilter& filter);

// Whether this kernel, and what has started this process, let it do so.
bool can_restrict_syscalls();

} // namespace bpftune::sys

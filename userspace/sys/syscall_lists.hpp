// SPDX-License-Identifier: Apache-2.0
// The system calls of the two processes, once they have started: what our code, glibc, libstdc++, SQLite, libsystemd,
// libbpf and gRPC call, also on arm64, on older kernels and when something fails. What is missing under a test is in
// the kernel's log ("type=1326").
#pragma once

#include <span>

#include "sys/syscall_filter.hpp"

namespace bpftune::sys {

enum class CalledBy {
    both,
    service, // looks, parses and answers, after its probes are attached: it makes threads and no process, enters
             // nothing
    writer,  // and its child: enters network namespaces, fetches sockets, mounts a sysfs at no place; keeps no files
    nobody,  // of this program and its libraries, once it has started
};

// What is needed for one thing: a row of the table in docs/security.md.
struct SyscallGroup {
    const char* what_for;
    CalledBy by;
    std::span<const char* const> calls;
    std::span<const ConditionalSyscall> in_some_cases; // which, `what_for` says
};

std::span<const SyscallGroup> syscall_groups();

SyscallFilter service_syscalls();
SyscallFilter writer_syscalls();

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
// The system calls of the two processes, once they have started: what our code, glibc, libstdc++, SQLite, libsystemd,
// libbpf and gRPC call, also on arm64, on older kernels and when something fails. What is missing under a test is in
// the kernel's log ("type=1326").
#pragma once

#include "sys/syscall_filter.hpp"

namespace bpftune::sys {

// Of the process that looks, parses and answers, after its probes are attached: it makes threads and no process, and
// enters nothing.
SyscallFilter service_syscalls();

// Of the writer and of its child for listeners: it enters network namespaces, fetches sockets and mounts the sysfs of a
// namespace at no place, but keeps no files.
SyscallFilter writer_syscalls();

} // namespace bpftune::sys

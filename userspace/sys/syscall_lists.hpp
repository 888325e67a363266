// SPDX-License-Identifier: Apache-2.0
// The system calls of the two processes, once they have started. Made from what they call under the tests of the tiers
// netns, hostile, lab and cri (strace -f, and what the kernel's log says of refusals), and from what glibc, libstdc++,
// SQLite, libsystemd, libbpf and gRPC call beside that: on arm64, on older kernels, and when something fails.
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

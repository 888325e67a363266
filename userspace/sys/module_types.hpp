// SPDX-License-Identifier: Apache-2.0
// The types (BTF) of a kernel module: what a BPF program needs to be attached to the module's functions.
#pragma once

#include <string>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// As the kernel holds them, which takes CAP_SYS_ADMIN (bpf_btf_get_fd_by_id() in kernel/bpf/syscall.c). To load a
// program with them then takes CAP_BPF and CAP_PERFMON only. They do not keep the module from being unloaded.
// Error codes: EPERM; ENOENT: it has none of its own: built in, not loaded, or a kernel before 5.11.
Result<Fd> module_types(const std::string& module);

inline constexpr auto conntrack_module = "nf_conntrack";
inline Result<Fd> conntrack_types() { return module_types(conntrack_module); }

} // namespace bpftune::sys

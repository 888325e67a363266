// SPDX-License-Identifier: Apache-2.0
// The node's /proc in a container, whose own has /proc/sys and /proc/irq mounted read-only by its runtime.
#pragma once

#include <filesystem>

#include "core/result.hpp"

namespace bpftune::sys {

// Where a container is given the node's /proc.
inline constexpr auto host_proc = "/host/proc";

// Whether `path` is there, on a mount of which nothing can be written.
bool is_read_only(const std::filesystem::path& path);

// Where `own`/sys is mounted read-only and `host` is the procfs of the same process ids, that is mounted over `own`, in
// this mount namespace: for this process, its children, and whatever else runs in the container. Else nothing is done,
// and that is no error. Error: the mount was refused; CAP_SYS_ADMIN is needed, and AppArmor's usual profile forbids it.
Result<> take_host_proc(const std::filesystem::path& host = host_proc, const std::filesystem::path& own = "/proc");

} // namespace bpftune::sys

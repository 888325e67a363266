// SPDX-License-Identifier: Apache-2.0
// What /proc says of one process. Its number may be another's by the time that it is asked: whoever has a number from
// elsewhere asks first, and then checks by one of these that it was that of the process he means.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>

#include <sys/types.h>

#include "core/result.hpp"
#include "core/time.hpp"

namespace bpftune::sys {

inline constexpr pid_t init_process = 1; // systemd, mostly

// /proc/PID/cgroup: one line for each hierarchy. The error's code is errno; more than 64 KiB is an error (the kernel
// has 13 controllers, and no path is longer than 4096 bytes).
Result<std::string> cgroups_of(pid_t pid, const std::filesystem::path& proc = "/proc");

// The process that a thread belongs to: the number of its first thread, and its own for that one.
Result<pid_t> process_of(pid_t thread, const std::filesystem::path& proc = "/proc");

// The inode number of its network namespace, as in `lsns -t net`. Needs CAP_SYS_PTRACE for others' processes.
Result<std::uint32_t> netns_inode_of(pid_t pid, const std::filesystem::path& proc = "/proc");

// What a link of /proc says of something without a path, "net:[4026531833]" or "socket:[48211]", where `kind` is "net"
// or "socket": its inode number. nullopt: it is something else.
std::optional<std::uint64_t> inode_in_link(std::string_view target, std::string_view kind);

// Whether this descriptor of it is the socket with that inode number. Error: it is not shown to us, as the descriptors
// of another user's process are not without CAP_DAC_READ_SEARCH, or the process has gone.
Result<bool> holds_socket(pid_t pid, int fd, std::uint64_t inode, const std::filesystem::path& proc = "/proc");

// When it started, to a clock tick (10 ms): not later than this.
Result<MonoTime> start_of(pid_t pid, const std::filesystem::path& proc = "/proc");

// The same, from the text of /proc/PID/stat: ticks of USER_HZ since boot.
std::optional<std::uint64_t> start_ticks(std::string_view stat);

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
// What /proc says of one process, to everybody (what it shows to few is in sys/process_links.hpp). Its number may be
// another's by the time that it is asked: whoever has a number from elsewhere asks first, and then checks by one of
// these that it was that of the process he means.
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

// When it started, to a clock tick (10 ms): not later than this.
Result<MonoTime> start_of(pid_t pid, const std::filesystem::path& proc = "/proc");

// The same, from the text of /proc/PID/stat: ticks of USER_HZ since boot.
std::optional<std::uint64_t> start_ticks(std::string_view stat);

} // namespace bpftune::sys

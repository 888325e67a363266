// SPDX-License-Identifier: Apache-2.0
// Time is an argument: only sys/clock reads one.
#pragma once

#include <chrono>
#include <string>

namespace bpftune {

using Nanoseconds = std::chrono::nanoseconds;
using Seconds = std::chrono::duration<double>;

// CLOCK_MONOTONIC, the clock of bpf_ktime_get_ns(): comparable with event times from BPF.
using MonoTime = std::chrono::time_point<std::chrono::steady_clock, Nanoseconds>;

// CLOCK_REALTIME, for people only.
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::milliseconds>;

struct Now {
    MonoTime mono;
    WallTime wall;
};

// RFC 3339 in UTC with milliseconds: "2026-11-21T22:00:00.123Z"
std::string to_string(WallTime time);

} // namespace bpftune

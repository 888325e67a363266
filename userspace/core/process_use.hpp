// SPDX-License-Identifier: Apache-2.0
// What a process takes of the machine, as the client libraries of Prometheus tell it. nullopt: not read.
#pragma once

#include <cstdint>
#include <optional>

#include "core/time.hpp"

namespace bpftune {

struct ProcessUse {
    double cpu_seconds = 0; // of user and system, all threads
    std::optional<std::uint64_t> resident_bytes;
    std::optional<std::uint64_t> virtual_bytes;
    std::optional<std::uint64_t> open_fds;
    std::optional<std::uint64_t> max_fds; // RLIMIT_NOFILE
    std::optional<WallTime> started;
};

} // namespace bpftune

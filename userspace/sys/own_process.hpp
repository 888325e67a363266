// SPDX-License-Identifier: Apache-2.0
// What the calling process takes of the machine: getrusage(2), getrlimit(2) and its own files below /proc.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/process_use.hpp"

namespace bpftune::sys {

ProcessUse own_process();

// /proc/PID/stat: ticks (USER_HZ) from boot to the start of the process. Its second field, the name, may hold anything.
std::optional<std::uint64_t> start_ticks(std::string_view stat);

} // namespace bpftune::sys

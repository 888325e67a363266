// SPDX-License-Identifier: Apache-2.0
// What the calling process takes of the machine: getrusage(2), getrlimit(2) and its own files below /proc.
#pragma once

#include <cstdint>

#include "core/process_use.hpp"
#include "core/result.hpp"

namespace bpftune::sys {

ProcessUse own_process();

// Lets it have as many descriptors as it may: raises the soft RLIMIT_NOFILE to the hard one. Error: those that it may
// have then are fewer than `needed`.
Result<> take_descriptors(std::uint64_t needed);

} // namespace bpftune::sys

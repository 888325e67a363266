// SPDX-License-Identifier: Apache-2.0
// What a counter gained between two readings; nothing where it fell, as one does that has begun anew.
#pragma once

#include <algorithm>
#include <cstdint>

namespace bpftune::signals {

inline std::uint64_t gain(std::uint64_t before, std::uint64_t now) { return now - std::min(before, now); }

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
// How long is waited before what went wrong again and again is tried once more.
#pragma once

#include <algorithm>
#include <cstdint>

#include "core/time.hpp"

namespace bpftune::controller {

// `first`, doubled `times` times; no longer than `longest`.
constexpr Nanoseconds doubled(Nanoseconds first, std::int64_t times, Nanoseconds longest) {
    Nanoseconds pause = first;
    for (std::int64_t i = 0; i < times && pause < longest; ++i) pause *= 2;
    return std::min(pause, longest);
}

} // namespace bpftune::controller

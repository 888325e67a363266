// SPDX-License-Identifier: Apache-2.0
// How often the service looks at the whole node.
#pragma once

#include <algorithm>

#include "core/time.hpp"

namespace bpftune::service {

// From one look to another that does not wait for its turn: growth over less than 100 ms says nothing. `cost` is the
// time that the last one took of its CPU: whoever makes the kernel tell us something again and again gets 1/20 of one
// for it, and puts no look off that would have come without. With 500 network namespaces a look takes some 20 ms.
constexpr Nanoseconds least_pause(Nanoseconds cost, Nanoseconds interval) {
    constexpr Nanoseconds shortest = std::chrono::milliseconds(100);
    constexpr int share = 20;
    return std::min(std::max(shortest, share * cost), interval);
}

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// How a measure is spread.
#pragma once

#include <optional>
#include <vector>

namespace bpftune::measure {

struct Spread {
    double p50 = 0;
    double p90 = 0;
    double p99 = 0;
    double max = 0;
};

// By nearest rank: each is one of the values, the least that so many of a hundred do not exceed. nullopt: no values.
std::optional<Spread> spread_of(std::vector<double> values);

} // namespace bpftune::measure

// SPDX-License-Identifier: Apache-2.0
#include "measure/spread.hpp"

#include <algorithm>

namespace bpftune::measure {

std::optional<Spread> spread_of(std::vector<double> values) {
    if (values.empty()) return std::nullopt;
    std::ranges::sort(values);
    const auto at = [&](std::size_t percent) { return values[(values.size() * percent + 99) / 100 - 1]; };
    return Spread{at(50), at(90), at(99), values.back()};
}

} // namespace bpftune::measure

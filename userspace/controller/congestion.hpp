// SPDX-License-Identifier: Apache-2.0
// The resource of connections that losses hold back: net.ipv4.tcp_congestion_control of each network namespace. Losses
// without a queue are raised for, to bbr, where the host allows it and cubic or reno made them slow; whether it helped
// tells the rate of the same connections.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "controller/resource.hpp"

namespace bpftune::controller {

namespace congestion_control {

void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);

} // namespace congestion_control

inline constexpr Resource congestion{
    .read = congestion_control::read, .rule = congestion_control::rule, .show = congestion_control::show};

} // namespace bpftune::controller

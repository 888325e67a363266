// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string_view>

namespace bpftune {

// Of the units of systemd, those that have processes. Slices only hold other units.
inline constexpr std::array<std::string_view, 5> unit_types{"service", "scope", "socket", "mount", "swap"};

} // namespace bpftune

// SPDX-License-Identifier: Apache-2.0
// Quantities as users write them, on the command line and in policies.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/time.hpp"

namespace bpftune {

// "500ms", "10s", "5m", "2h", "7d": a whole number and a unit, nothing else; more than zero, at most ten years.
Result<Nanoseconds> parse_duration(std::string_view text);

// Its inverse, in the largest unit up to hours that is exact; the rest below a millisecond is left out.
std::string duration_text(Nanoseconds duration);

// "4096", "64KiB", "16MiB", "2GiB": bytes; less than 8 EiB.
Result<std::uint64_t> parse_size(std::string_view text);

// Decimal digits only, no sign, no blanks; the whole text.
Result<std::uint64_t> parse_number(std::string_view text);

} // namespace bpftune

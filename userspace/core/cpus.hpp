// SPDX-License-Identifier: Apache-2.0
// Sets of CPUs as the kernel writes them (lib/bitmap.c): hexadecimal, a comma between each 32 of them. Of what it
// writes the first digits are zeros, for all CPUs that there might be.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"

namespace bpftune {

inline constexpr unsigned most_cpus = 64; // more are not told apart here

struct Cpus {
    std::uint64_t first = 0; // CPU n is bit n
    bool has_more = false;   // of those past them

    bool operator==(const Cpus&) const = default;
};

Result<Cpus> parse_cpus(std::string_view text);

// The same as a list of ranges: "0-3,7"; empty: none. "(null)", which the kernel says of a set that it has not made, is
// an error.
Result<Cpus> parse_cpu_list(std::string_view text);

// The inverse of parse_cpus, without such zeros: "3", "ff,ffffffff".
std::string cpus_text(std::uint64_t cpus);

} // namespace bpftune

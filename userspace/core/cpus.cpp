// SPDX-License-Identifier: Apache-2.0
#include "core/cpus.hpp"

#include <charconv>

#include "core/parse.hpp"
#include "core/text.hpp"

namespace bpftune {
namespace {

constexpr unsigned group_bits = 32;
constexpr std::size_t group_digits = group_bits / 4;

} // namespace

Result<Cpus> parse_cpus(std::string_view text) {
    Cpus cpus;
    std::string_view left = text;
    for (bool is_first = true, is_last = false; !is_last; is_first = false) {
        const std::size_t comma = left.find(',');
        is_last = comma == std::string_view::npos;
        const std::string_view group = left.substr(0, comma);
        left.remove_prefix(is_last ? left.size() : comma + 1);
        std::uint32_t bits = 0;
        const auto [end, error] = std::from_chars(group.data(), group.data() + group.size(), bits, 16);
        const bool is_whole = is_first ? group.size() <= group_digits : group.size() == group_digits;
        if (error != std::errc() || end != group.data() + group.size() || !is_whole)
            return failure("'{}' is no set of CPUs", printable(text));
        cpus.has_more |= cpus.first >> group_bits != 0;
        cpus.first = cpus.first << group_bits | bits;
    }
    return cpus;
}

Result<Cpus> parse_cpu_list(std::string_view text) {
    Cpus cpus;
    for (std::string_view left = text; !left.empty();) {
        const std::size_t comma = left.find(',');
        const std::string_view range = left.substr(0, comma);
        left.remove_prefix(comma == std::string_view::npos ? left.size() : comma + 1);
        const std::size_t dash = range.find('-');
        const auto first = parse_number(range.substr(0, dash));
        const auto last = dash == std::string_view::npos ? first : parse_number(range.substr(dash + 1));
        if (!first || !last || *last < *first) return failure("'{}' is no list of CPUs", printable(text));
        for (std::uint64_t cpu = *first; cpu <= *last && cpu < most_cpus; ++cpu) cpus.first |= std::uint64_t{1} << cpu;
        cpus.has_more |= *last >= most_cpus;
    }
    return cpus;
}

std::string cpus_text(std::uint64_t cpus) {
    const std::uint64_t high = cpus >> group_bits;
    const std::uint64_t low = cpus & 0xffffffff;
    return high != 0 ? fmt::format("{:x},{:08x}", high, low) : fmt::format("{:x}", low);
}

} // namespace bpftune

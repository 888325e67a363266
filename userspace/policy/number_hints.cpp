// SPDX-License-Identifier: Apache-2.0
// What was probably meant where a policy has no number that can be taken.
#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <sstream>
#include <utility>

#include <fmt/format.h>

#include "core/parse.hpp"
#include "core/text.hpp"
#include "policy/checker.hpp"
#include "tunables/codec.hpp"

namespace bpftune::policy {

bool only_digits(std::string_view text) {
    return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

bool is_in_range(const Tunable& tunable, std::uint64_t value) {
    return value >= tunable.kernel_min && value <= tunable.kernel_max;
}

// The least number first: of what is only lowered, more is less.
std::string range_of(const Tunable& tunable) {
    std::string least = text_of(tunable, tunable.kernel_min);
    std::string most = text_of(tunable, tunable.kernel_max);
    const bool is_lowered = tunable.counts_down_from > 0;
    if (is_lowered) std::swap(least, most);
    return fmt::format("{} takes {} to {}{}", tunable.name, least, most,
                       is_lowered ? ", and is only ever lowered: its max is the least" : "");
}

namespace {

// "4096 87380 6291456", as the file of several numbers has them: which of these it is. Empty: they are none.
std::string one_of_several(std::string_view text, const Tunable& tunable) {
    constexpr std::array<std::string_view, 2> places{"first", "second"};
    constexpr std::array<std::string_view, 2> counts{"two", "three"};
    std::vector<std::string> numbers;
    std::istringstream words{std::string(text)};
    for (std::string word; words >> word;) numbers.push_back(word);
    const std::size_t field = tunable.field.value_or(0);
    const bool is_file = numbers.size() == 2 || numbers.size() == 3;
    if (!tunable.field || !is_file || field >= numbers.size() || !std::ranges::all_of(numbers, only_digits)) return {};
    return fmt::format("it is the {} of the {}: {}", field + 1 == numbers.size() ? "last" : places.at(field),
                       counts.at(numbers.size() - 2), shown(numbers[field]));
}

// "64MB", "64Mi", "64 mib", "8M", "1.5MiB": as sizes are written here. Empty: it is none.
std::string size_meant(std::string_view text) {
    constexpr std::array<std::string_view, 3> units{"KiB", "MiB", "GiB"};
    const std::size_t end = std::min(text.find_first_not_of("0123456789."), text.size());
    const std::string written = to_lower(single_spaced(text.substr(end)));
    const auto is_meant = [&](std::string_view unit) {
        const std::string known = to_lower(unit);
        return written == known || written == known.substr(0, 2) || written == known.substr(0, 1) ||
               written == known.substr(0, 1) + "b";
    };
    const auto unit = std::ranges::find_if(units, is_meant);
    double number = 0;
    const auto [stopped, error] = std::from_chars(text.begin(), text.begin() + end, number);
    if (unit == units.end() || error != std::errc{} || stopped != text.begin() + end || number > 1e6) return {};
    const double kibibytes = std::ldexp(number, 10 * static_cast<int>(unit - units.begin()));
    if (number == std::floor(number)) return fmt::format("{}{}", static_cast<std::uint64_t>(number), *unit);
    return kibibytes == std::floor(kibibytes) ? fmt::format("{}KiB", static_cast<std::uint64_t>(kibibytes)) : "";
}

// "65_535", "1,000,000": its digits. Empty: these are not those of one number.
std::string ungrouped(std::string_view text) {
    std::string digits;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find_first_of("_, ", at), text.size());
        const std::string_view group = text.substr(at, end - at);
        const bool is_right = at == 0 ? group.size() <= 3 && !group.starts_with('0') : group.size() == 3;
        if (!is_right || !only_digits(group)) return {};
        digits += group;
        at = end + 1;
    }
    return digits;
}

} // namespace

std::string number_hint(std::string_view text, const Tunable& tunable) {
    if (std::string one = one_of_several(text, tunable); !one.empty()) return one;
    const bool is_of_bytes = tunable.unit == tunables::Unit::bytes;
    const std::string size = is_of_bytes ? size_meant(text) : "";
    const std::string written = size.empty() ? ungrouped(text) : size;
    if (written.empty())
        return is_of_bytes ? "write digits only, such as 65536, or a size such as 64MiB; units are KiB, MiB, GiB"
                           : "write digits only, such as 65535";
    const auto number = parse_size(written);
    const auto value = number ? value_of(tunable, fmt::to_string(*number)) : number;
    if (!value || !is_in_range(tunable, *value)) return range_of(tunable);
    return fmt::format("write {}{}", written, size.empty() ? "" : "; units are KiB, MiB, GiB");
}

std::string budget_hint(std::string_view digits) {
    const auto number = parse_number(digits);
    if (number && *number >= 1 && *number <= 100)
        return fmt::format("write {0}% of the node's memory, or a size such as {0}MiB", *number);
    return fmt::format("write {}; units are KiB, MiB, GiB", expected(key_named(spec_keys, "memoryBudget")));
}

} // namespace bpftune::policy

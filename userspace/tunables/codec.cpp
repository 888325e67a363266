// SPDX-License-Identifier: Apache-2.0
#include "tunables/codec.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/parse.hpp"
#include "core/text.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::string_view blanks = " \t\n";

// Of the word that has the value, in `text`.
struct Place {
    std::size_t begin = 0;
    std::size_t size = 0;
};

std::optional<Place> place_of(const Tunable& tunable, std::string_view text) {
    const unsigned before = tunable.field.value_or(0);
    std::size_t begin = text.find_first_not_of(blanks);
    for (unsigned i = 0; i < before && begin != std::string_view::npos; ++i)
        begin = text.find_first_not_of(blanks, text.find_first_of(blanks, begin));
    if (begin == std::string_view::npos) return std::nullopt;
    return Place{begin, std::min(text.find_first_of(blanks, begin), text.size()) - begin};
}

// What has its two numbers in a file.
struct Range {
    std::uint64_t first = 0;
    std::uint64_t last = 0;
};

Result<Range> range_in(std::string_view text) {
    const std::size_t first = text.find_first_not_of(blanks);
    const std::size_t gap = text.find_first_of(blanks, first);
    const std::size_t second = text.find_first_not_of(blanks, gap);
    if (second == text.npos) return failure("'{}' is no range", printable(text));
    const std::size_t end = std::min(text.find_first_of(blanks, second), text.size());
    const auto from = parse_number(text.substr(first, gap - first));
    const auto to = parse_number(text.substr(second, end - second));
    const bool goes_on = text.find_first_not_of(blanks, end) != text.npos;
    if (!from || !to || goes_on || *from > *to) return failure("'{}' is no range", printable(text));
    return Range{*from, *to};
}

} // namespace

std::optional<std::uint64_t> value_in(const Tunable& tunable, const SysctlWrite& write) {
    if (!tunable.is_range) return write.number(tunable.field.value_or(0));
    const auto first = write.number(0);
    const auto last = write.number(1);
    return first && last && *first <= *last ? std::optional(*last - *first + 1) : std::nullopt;
}

Result<std::uint64_t> value_in(const Tunable& tunable, std::string_view text) {
    if (tunable.is_range) {
        const auto range = range_in(text);
        if (!range) return std::unexpected(range.error());
        return range->last - range->first + 1;
    }
    const auto place = place_of(tunable, text);
    if (!place) return failure("'{}' has no number {}", printable(text), tunable.field.value_or(0) + 1);
    const bool is_whole = tunable.field || text.find_first_not_of(blanks, place->begin + place->size) == text.npos;
    return parse_number(is_whole ? text.substr(place->begin, place->size) : text);
}

Result<std::string> text_with(const Tunable& tunable, std::string_view text, std::uint64_t value) {
    if (tunable.is_range) {
        const auto range = range_in(text);
        if (!range) return std::unexpected(range.error());
        if (value == 0 || value > range->last) return failure("no {} numbers end with {}", value, range->last);
        return fmt::format("{} {}", range->last - value + 1, range->last);
    }
    if (!tunable.field) return std::to_string(value);
    const auto place = place_of(tunable, text);
    if (!place) return failure("'{}' has no number {}", printable(text), *tunable.field + 1);
    std::string changed(text.substr(0, text.find('\n')));
    return changed.replace(place->begin, place->size, std::to_string(value));
}

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include "tunables/codec.hpp"

#include <algorithm>
#include <optional>

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

// From the number in a file to the value, and back. nullopt: past that from which it is counted.
std::optional<std::uint64_t> mirrored(const Tunable& tunable, std::uint64_t number) {
    if (tunable.counts_down_from == 0) return number;
    return number <= tunable.counts_down_from ? std::optional(tunable.counts_down_from - number) : std::nullopt;
}

} // namespace

std::optional<std::uint64_t> value_in(const Tunable& tunable, const SysctlWrite& write) {
    const auto number = write.number(tunable.field.value_or(0));
    return number ? mirrored(tunable, *number) : std::nullopt;
}

Result<std::uint64_t> value_in(const Tunable& tunable, std::string_view text) {
    const auto place = place_of(tunable, text);
    if (!place) return failure("'{}' has no number {}", printable(text), tunable.field.value_or(0) + 1);
    const bool is_whole = tunable.field || text.find_first_not_of(blanks, place->begin + place->size) == text.npos;
    const auto number = parse_number(is_whole ? text.substr(place->begin, place->size) : text);
    if (!number) return number;
    const auto value = mirrored(tunable, *number);
    if (!value) return failure("{} is more than {}", *number, tunable.counts_down_from);
    return *value;
}

Result<std::string> text_with(const Tunable& tunable, std::string_view text, std::uint64_t value) {
    const auto number = mirrored(tunable, value);
    if (!number) return failure("{} is more than {}", value, tunable.counts_down_from);
    if (!tunable.field) return std::to_string(*number);
    const auto place = place_of(tunable, text);
    if (!place) return failure("'{}' has no number {}", printable(text), *tunable.field + 1);
    std::string changed(text.substr(0, text.find('\n')));
    return changed.replace(place->begin, place->size, std::to_string(*number));
}

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include "tunables/codec.hpp"

#include <algorithm>
#include <optional>

#include <fmt/format.h>

#include "core/cpus.hpp"
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

Result<std::uint64_t> cpus_of(std::string_view text) {
    const auto cpus = parse_cpus(text);
    if (!cpus) return std::unexpected(cpus.error());
    if (cpus->has_more) return failure("'{}' has a CPU past {} in it", printable(text), most_cpus - 1);
    return cpus->first;
}

std::optional<std::string> written(const Tunable& tunable, std::uint64_t value) {
    if (tunable.is_cpus) return cpus_text(value);
    if (!tunable.words.empty())
        return value < tunable.words.size() ? std::optional<std::string>(tunable.words[value]) : std::nullopt;
    const auto number = mirrored(tunable, value);
    return number ? std::optional(std::to_string(*number)) : std::nullopt;
}

Error no_such(const Tunable& tunable, std::uint64_t value) {
    return {fmt::format("{} has no value {}", tunable.name, value), 0};
}

} // namespace

std::string text_of(const Tunable& tunable, std::uint64_t value) {
    return written(tunable, value).value_or(std::to_string(value));
}

std::string text_of(TunableId tunable, std::uint64_t value) { return text_of(row(tunable), value); }

Result<std::uint64_t> value_of(const Tunable& tunable, std::string_view text) {
    if (!tunable.words.empty()) {
        const auto word = std::ranges::find(tunable.words, text);
        if (word == tunable.words.end()) return failure("'{}' is none of {}'s", printable(text), tunable.name);
        return static_cast<std::uint64_t>(word - tunable.words.begin());
    }
    if (tunable.is_cpus) return cpus_of(text);
    const auto number = parse_number(text);
    if (!number) return number;
    const auto value = mirrored(tunable, *number);
    if (!value) return failure("{} is more than {}", *number, tunable.counts_down_from);
    return *value;
}

Result<std::uint64_t> value_of(TunableId tunable, std::string_view text) { return value_of(row(tunable), text); }

std::optional<std::uint64_t> known_value(TunableId tunable, std::string_view text) {
    const auto value = value_of(tunable, text);
    return value ? std::optional(*value) : std::nullopt;
}

Result<std::uint64_t> value_in(const Tunable& tunable, std::string_view text) {
    const auto place = place_of(tunable, text);
    if (!place)
        return failure("'{}' has no {} {}", printable(text), tunable.words.empty() ? "number" : "word",
                       tunable.field.value_or(0) + 1);
    const bool is_whole = tunable.field || text.find_first_not_of(blanks, place->begin + place->size) == text.npos;
    return value_of(tunable, is_whole ? text.substr(place->begin, place->size) : text);
}

std::optional<std::uint64_t> value_in(const Tunable& tunable, const SysctlWrite& write) {
    if (!tunable.words.empty()) {
        const auto value = value_in(tunable, std::string_view(write.text));
        return value ? std::optional(*value) : std::nullopt;
    }
    if (tunable.is_cpus) return known_value(tunable.id, write.text);
    const auto number = write.number(tunable.field.value_or(0));
    return number ? mirrored(tunable, *number) : std::nullopt;
}

Result<std::string> text_with(const Tunable& tunable, std::string_view text, std::uint64_t value) {
    const auto word = written(tunable, value);
    if (!word) return std::unexpected(no_such(tunable, value));
    if (!tunable.field) return *word;
    const auto place = place_of(tunable, text);
    if (!place) return failure("'{}' has no number {}", printable(text), *tunable.field + 1);
    std::string changed(text.substr(0, text.find('\n')));
    return changed.replace(place->begin, place->size, *word);
}

Change change_of(const Decision& decision, WallTime time, ChangeState state) {
    Change change;
    change.time = time;
    change.tunable = decision.tunable;
    change.scope = decision.scope;
    if (state != ChangeState::advice) {
        change.from = text_of(decision.tunable, decision.from);
        change.to = text_of(decision.tunable, decision.to);
    }
    change.state = state;
    change.why = decision.why;
    change.evidence = decision.evidence;
    return change;
}

} // namespace bpftune::tunables

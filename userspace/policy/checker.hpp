// SPDX-License-Identifier: Apache-2.0
// How `parse` checks the tree of a file: parse.cpp has all but what is below `pods`, which is in parse_pods.cpp.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "policy/document.hpp"
#include "policy/keys.hpp"
#include "policy/policy.hpp"

namespace bpftune::policy {

using tunables::Tunable;

constexpr std::string_view tunable_example = "a map such as '{max: 4096}', or {} for the defaults";

std::string shown(std::string_view text); // in a message
std::string expected(const Key& key);     // what a hint tells to write
std::string list_of(std::span<const std::string_view> words);

// Of numbers, in number_hints.cpp.
bool only_digits(std::string_view text);
bool is_in_range(const Tunable& tunable, std::uint64_t value);
std::string range_of(const Tunable& tunable); // a hint: "net.core.somaxconn takes 0 to 2147483647"
// What to write in place of what is no number, or where a budget has no unit: nothing that is refused in its turn.
std::string number_hint(std::string_view text, const Tunable& tunable);
std::string budget_hint(std::string_view digits);

// Of one set of CPUs none is the least of. `tunable`: whose bounds the key is among, if any's.
inline bool applies_to(const Key& key, const Tunable* tunable) {
    return tunable == nullptr || !tunable->is_cpus || key.name != "min";
}

inline const Key& key_named(std::span<const Key> keys, std::string_view name) {
    return *std::ranges::find(keys, name, &Key::name);
}

// The values of a map, by the name of their key.
class Fields {
public:
    void set(std::string_view name, const Element& value) { values_.emplace(name, &value); }
    [[nodiscard]] const Element* find(std::string_view name) const {
        const auto found = values_.find(name);
        return found == values_.end() ? nullptr : found->second;
    }

private:
    std::map<std::string_view, const Element*> values_;
};

// Reads what is right and writes down what is wrong: one pass, all problems.
class Checker {
public:
    explicit Checker(std::vector<Diagnostic> problems) : problems_(std::move(problems)) {}

    Policy file(const Element& root);
    [[nodiscard]] std::vector<Diagnostic> take() { return std::move(problems_); }

private:
    template <class... Args>
    void problem(const Element& node, std::string hint, fmt::format_string<Args...> format, Args&&... args) {
        problems_.push_back(
            {node.place.line, node.place.column, fmt::format(format, std::forward<Args>(args)...), std::move(hint)});
    }

    bool is(const Element& node, Element::Kind kind, std::string_view name, const std::string& wanted);
    template <class Take> void entries(const Element& map, Take take);
    Fields fields(const Element& map, std::span<const Key> keys, std::string_view where, const Tunable* of = nullptr);
    std::string_view unknown_key(const Element& key, std::span<const std::string_view> known, std::string_view where);
    void unknown_tunable(const Element& key);

    std::optional<Mode> mode(const Element* value, std::span<const Key> keys);
    std::optional<std::string_view> choice(const Element* value, const Key& key);
    std::optional<std::uint64_t> count(const Element* value, const Key& key, const Tunable& tunable);
    std::optional<std::uint64_t> number(const Element& value, const Key& key, const Tunable& tunable);
    std::optional<std::uint64_t> word(const Element& value, const Key& key, const Tunable& tunable);
    std::optional<std::uint64_t> cpus(const Element& value, const Key& key, const Tunable& tunable);
    void only_what_applies(const Fields& given, const Tunable& row);
    void not_a_number(const Element& value, const Key& key, const Tunable& tunable);
    void min_past_max(const Element& min, const Tunable& row, const TunablePolicy& bounds, bool is_max_given);
    void shrink_after(const Element* value, TunablePolicy& out);

    void metadata(const Element* value, Policy& policy);
    void spec(const Element* value, Policy& policy);
    void budget(const Element* value, Policy& policy);
    void tenant_share(const Element* value, Policy& policy);
    void percentage(const Element& value, const Key& key, std::string_view whole, double& ratio); // a part of `whole`
    void size(const Element& value, Policy& policy);
    template <class Take> void tunables(const Element* value, Take take);
    void tunable(const Element& value, const Tunable& row, TunablePolicy& out);
    void lowered_tunable(const Element& value, const Tunable& row, TunablePolicy& out);
    void metrics(const Element* value, Policy& policy);
    void expect(const Element* value, Policy& policy);
    void not_a_sysctl(const Element& key);
    bool is_setting(const Element& value, std::string_view name);
    std::optional<std::uint64_t> cpus_in(const Element& value, std::string_view name);
    bool is_tuned(const Element& key, std::string_view path, const Policy& policy);
    void pods(const Element* value, Policy& policy);
    void pod(const Element& value, PodRule& out);
    void match(const Element& value, Match& out);
    void pattern(const Element* value, const Key& key, std::optional<std::string>& out);
    void not_a_name(const Element& value, const Key& key);
    bool is_of_unit(const Element& value, std::string_view shape);
    void labels(const Element* value, const Key& key, Labels& out);
    void is_reached(const Element& entry, const PodRule& rule, std::span<const PodRule> before);
    bool is_free_of_controls(const Element& value, std::string_view text);
    bool is_label_value(const Element& value, const Key& key, std::string_view name);

    std::vector<Diagnostic> problems_;
};

// take(key, value) for each entry with a key that is a word and comes for the first time.
template <class Take> void Checker::entries(const Element& map, Take take) {
    std::map<std::string_view, Place> seen;
    for (std::size_t i = 0; i < map.keys.size(); ++i) {
        const Element& key = map.keys[i];
        if (key.kind == Element::Kind::refused) continue;
        if (key.kind != Element::Kind::scalar) {
            problem(key, "write 'KEY: VALUE'", "a key that is no word");
            continue;
        }
        const auto [first, is_new] = seen.emplace(key.text, key.place);
        if (is_new)
            take(key, map.values[i]);
        else
            problem(key, fmt::format("first given on line {}; keep one of them", first->second.line),
                    "duplicate key '{}'", shown(key.text));
    }
}

// take(bounds, row) for each tunable that is known.
template <class Take> void Checker::tunables(const Element* value, Take take) {
    if (value == nullptr || !is(*value, Element::Kind::map, "tunables", expected(key_named(spec_keys, "tunables"))))
        return;
    entries(*value, [&](const Element& key, const Element& bounds) {
        if (const Tunable* row = tunables::find(key.text))
            take(bounds, *row);
        else
            unknown_tunable(key);
    });
}

} // namespace bpftune::policy

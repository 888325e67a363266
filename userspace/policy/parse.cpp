// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <map>
#include <optional>
#include <tuple>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/cpus.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "policy/checker.hpp"
#include "policy/document.hpp"
#include "policy/keys.hpp"
#include "policy/names.hpp"
#include "tunables/codec.hpp"
#include "tunables/device_settings.hpp"
#include "tunables/not_tuned.hpp"
#include "tunables/without_effect.hpp"

namespace bpftune::policy {
namespace {

constexpr std::size_t most_problems = 100; // a file with more is not a policy

// "2.5" -> 0.025. Three decimals at most: so many survive `show`.
std::optional<double> ratio_of_percent(std::string_view text) {
    const std::size_t point = text.find('.');
    const bool plain = point == std::string_view::npos;
    if (!only_digits(text.substr(0, point))) return std::nullopt;
    if (!plain && (!only_digits(text.substr(point + 1)) || text.size() - point > 4)) return std::nullopt;
    double percent = 0;
    if (std::from_chars(text.data(), text.data() + text.size(), percent).ec != std::errc{}) return std::nullopt;
    return percent / 100;
}

std::vector<std::string_view> names(std::span<const Key> keys, const Tunable* of = nullptr) {
    std::vector<std::string_view> out;
    for (const Key& key : keys)
        if (applies_to(key, of)) out.push_back(key.name);
    return out;
}

std::vector<std::string_view> tunable_names() {
    std::vector<std::string_view> out;
    for (const Tunable& tunable : tunables::catalog()) out.push_back(tunable.name);
    return out;
}

} // namespace

std::string shown(std::string_view text) { return truncated(printable(text), 60); }

std::string list_of(std::span<const std::string_view> words) { return fmt::format("{}", fmt::join(words, ", ")); }

std::string expected(const Key& key) {
    switch (key.kind) {
    case Kind::choice: return (key.choices.size() == 1 ? "" : "one of ") + list_of(key.choices);
    case Kind::name: return fmt::format("a name such as {}", key.example);
    case Kind::budget: return "a percentage such as 2% or a size such as 512MiB";
    case Kind::percentage: return fmt::format("a percentage such as {}", key.fallback);
    case Kind::count:
    case Kind::number: return "a whole number";
    case Kind::duration: return "a duration such as 24h, or never";
    case Kind::map: return "a map of " + list_of(names(key.keys));
    case Kind::tunables: return "a map such as 'net.core.somaxconn: {max: 65535}'";
    case Kind::list: return "a list of maps of " + list_of(names(key.keys));
    case Kind::pattern: return fmt::format("a name such as {}, in which * is any text and ? any letter", key.example);
    case Kind::sysctls: return "a map such as 'net.ipv4.ip_forward: 1'";
    case Kind::labels:
    case Kind::annotations: return fmt::format("a map such as '{}'", key.example);
    }
    std::unreachable();
}

namespace {

std::string_view name_of(Element::Kind kind) {
    switch (kind) {
    case Element::Kind::list: return "is a list";
    case Element::Kind::map: return "is a map";
    case Element::Kind::scalar: return "is a single value";
    case Element::Kind::null:
    case Element::Kind::refused: return "has no value";
    }
    std::unreachable();
}

// "somaxconn" for "net.core.somaxconn" is no misspelling, but no riddle either.
std::string_view nearest_tunable(std::string_view word, std::span<const std::string_view> candidates) {
    for (const std::string_view candidate : candidates)
        if (candidate.substr(candidate.rfind('.') + 1) == word) return candidate;
    return nearest(word, candidates);
}

} // namespace

// Says no more about a node that has been refused already.
bool Checker::is(const Element& node, Element::Kind kind, std::string_view name, const std::string& wanted) {
    if (node.kind == kind) return true;
    if (node.kind != Element::Kind::refused) problem(node, "write " + wanted, "'{}' {}", name, name_of(node.kind));
    return false;
}

// Of a value that may be any other text: `show` writes it as it is, for a terminal and to be parsed again.
bool Checker::is_free_of_controls(const Element& value, std::string_view text) {
    if (is_printable(text)) return true;
    problem(value, "take it out", "'{}' has a control character", shown(value.text));
    return false;
}

Fields Checker::fields(const Element& map, std::span<const Key> keys, std::string_view where, const Tunable* of) {
    Fields out;
    std::vector<std::string_view> meant; // by misspelt keys: those are not missing as well
    entries(map, [&](const Element& key, const Element& value) {
        const auto known = std::ranges::find(keys, std::string_view(key.text), &Key::name);
        if (known == keys.end())
            meant.push_back(unknown_key(key, names(keys, of), where));
        else
            out.set(known->name, value);
    });
    for (const Key& key : keys)
        if (key.required && out.find(key.name) == nullptr && std::ranges::find(meant, key.name) == meant.end())
            problem(map, fmt::format("add '{}: {}'", key.name, key.choices.empty() ? key.example : key.choices.front()),
                    "'{}' is missing in {}", key.name, where);
    return out;
}

// Returns the key that was probably meant, or an empty view.
std::string_view Checker::unknown_key(const Element& key, std::span<const std::string_view> known,
                                      std::string_view where) {
    const std::string_view start = std::string_view(key.text).substr(0, key.text.find_first_of(":= "));
    const std::string_view near = nearest(key.text, known);
    std::string hint = "known here: " + list_of(known);
    if (!near.empty())
        hint = fmt::format("did you mean '{}'?", near);
    else if (std::ranges::find(known, start) != known.end())
        hint = fmt::format("write '{}: VALUE', with a space after the colon", start);
    problem(key, hint, "unknown key '{}' in {}", shown(key.text), where);
    return near;
}

void Checker::unknown_tunable(const Element& key) {
    if (const auto* setting = tunables::find_device_setting(key.text))
        return problem(key,
                       fmt::format("leave it out; what it is to be on all devices can be expected: "
                                   "'expect: {{{}: 0}}'",
                                   setting->name),
                       "'{}' is not tuned: {}", key.text, setting->why_not);
    if (const auto* known = tunables::find_not_tuned(key.text))
        return problem(key,
                       fmt::format("leave it out; what it is to be can be expected: 'expect: {{{}: {}}}'", known->name,
                                   known->example),
                       "'{}' is not tuned: {}", key.text, known->why_not);
    if (const auto* obsolete = tunables::find_without_effect(key.text)) {
        // Of the kernel that it is for, nothing is known here.
        const std::string hint = obsolete->instead.empty()
                                     ? "leave it out; under `expect`, `doctor` tells of the kernel that it runs on"
                                     : fmt::format("leave it out; {}", obsolete->instead);
        if (obsolete->in_new_netns)
            return problem(key, hint,
                           "'{}' is not tuned: it does nothing on kernels since 6.3, and older ones with "
                           "the same change",
                           key.text);
        return problem(key, hint, "'{}' is not tuned: it does nothing: {}", key.text, obsolete->why);
    }
    const std::vector<std::string_view> known = tunable_names();
    const std::string_view near = nearest_tunable(key.text, known);
    problem(key,
            near.empty() ? "`bpftune-k8s policy show` lists those there are" : fmt::format("did you mean '{}'?", near),
            "unknown tunable '{}'", shown(key.text));
}

std::optional<std::string_view> Checker::choice(const Element* value, const Key& key) {
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return std::nullopt;
    const auto chosen = std::ranges::find(key.choices, std::string_view(value->text));
    if (chosen != key.choices.end()) return *chosen;
    const std::string_view near = nearest(value->text, key.choices);
    problem(*value, near.empty() ? "write " + expected(key) : fmt::format("did you mean '{}'?", near),
            "unknown {} '{}'", key.name, shown(value->text));
    return std::nullopt;
}

std::optional<Mode> Checker::mode(const Element* value, std::span<const Key> keys) {
    const auto text = choice(value, key_named(keys, "mode"));
    return text ? policy::mode(*text) : std::nullopt;
}

namespace {

// Whether the file could have it: of some the kernel has multiples only.
bool is_whole(const Tunable& tunable, std::uint64_t value) {
    return tunable.unit != tunables::Unit::bytes || value % tunable.granule == 0;
}

} // namespace

// Digits and nothing else, since readers of YAML disagree on the rest: 010 is 8 or 10, 1_000 a number or a text.
std::optional<std::uint64_t> Checker::number(const Element& value, const Key& key, const Tunable& tunable) {
    const std::string_view text = value.text;
    if (!tunable.words.empty()) return word(value, key, tunable);
    if (tunable.is_cpus) return cpus(value, key, tunable);
    const auto parsed = parse_size(text); // of digits alone these
    if (!only_digits(text) && (!parsed || tunable.unit != tunables::Unit::bytes)) {
        not_a_number(value, key, tunable);
        return std::nullopt;
    }
    if (only_digits(text) && text.size() > 1 && text.front() == '0') {
        problem(value, "write it without the leading zero", "{} '{}' could be octal", key.name, shown(text));
        return std::nullopt;
    }
    const auto known = parsed ? value_of(tunable, fmt::to_string(*parsed)) : parsed;
    const bool is_inside = known && is_in_range(tunable, *known);
    if (is_inside && is_whole(tunable, *known)) return *known;
    if (is_inside)
        problem(value, fmt::format("write {}", *known - *known % tunable.granule), "{} {} is no multiple of {}",
                key.name, shown(text), tunable.granule);
    else
        problem(value, range_of(tunable), "{} {} is outside of what {}", key.name, shown(text),
                tunable.counts_down_from > 0 ? "it may be" : "the kernel takes");
    return std::nullopt;
}

std::optional<std::uint64_t> Checker::word(const Element& value, const Key& key, const Tunable& tunable) {
    const auto known = value_of(tunable, value.text);
    if (known && is_in_range(tunable, *known)) return *known;
    const auto takes = tunable.words.subspan(tunable.kernel_min, tunable.kernel_max - tunable.kernel_min + 1);
    problem(value, fmt::format("{} takes one of {}", tunable.name, list_of(takes)), "{} '{}' is none of its values",
            key.name, shown(value.text));
    return std::nullopt;
}

// As the kernel has them, so that what history shows can be written here. Of one set none is the least of, or a half.
std::optional<std::uint64_t> Checker::cpus(const Element& value, const Key& key, const Tunable& tunable) {
    const auto known = value_of(tunable, value.text);
    if (known && *known != 0) return *known;
    problem(value, "write them as the kernel does, each CPU a bit, of the first 64: \"ff\" are CPUs 0 to 7",
            "{} '{}' is no set of CPUs", key.name, shown(value.text));
    return std::nullopt;
}

void Checker::only_what_applies(const Fields& given, const Tunable& row) {
    if (const Element* const min = given.find("min"); min != nullptr && row.is_cpus)
        problem(*min, "take it out", "a set of CPUs has no min");
    if (const Element* const calm = given.find("shrinkAfter");
        calm != nullptr && calm->text != never && !row.use_is_seen)
        problem(*calm, "take it out; `bpftune-k8s restore` puts it back",
                "how much of {} is needed is not seen, so it is never given back", row.name);
}

void Checker::not_a_number(const Element& value, const Key& key, const Tunable& tunable) {
    const std::string_view text = value.text;
    if (text.starts_with('-') && only_digits(text.substr(1)))
        problem(value, range_of(tunable), "{} {} is negative", key.name, shown(text));
    else if (const auto bytes = parse_size(text))
        problem(value, fmt::format("write {}", *bytes), "{} '{}' is a size, but {} is a count", key.name, shown(text),
                tunable.name);
    else
        problem(value, number_hint(text, tunable), "{} '{}' is no whole number", key.name, shown(text));
}

std::optional<std::uint64_t> Checker::count(const Element* value, const Key& key, const Tunable& tunable) {
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return std::nullopt;
    return number(*value, key, tunable);
}

void Checker::shrink_after(const Element* value, TunablePolicy& out) {
    const Key& key = key_named(tunable_keys, "shrinkAfter");
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return;
    const auto duration = parse_duration(value->text);
    if (duration)
        out.shrink_after = *duration;
    else if (value->text == never)
        out.shrink_after.reset();
    else
        problem(*value, "write more than 0 and at most ten years, such as 30m or 24h; or never",
                "shrinkAfter '{}' is no duration", shown(value->text));
}

void Checker::tunable(const Element& value, const Tunable& row, TunablePolicy& out) {
    out.named = true;
    if (value.kind == Element::Kind::null) return; // "listener.backlog:" names it, no more
    if (!is(value, Element::Kind::map, row.name, std::string(tunable_example))) return;
    const Fields given = fields(value, tunable_keys, row.name, &row);
    out.mode = mode(given.find("mode"), tunable_keys).value_or(out.mode);
    only_what_applies(given, row);
    shrink_after(given.find("shrinkAfter"), out);
    const Element* const max_node = given.find("max");
    const auto max = count(max_node, key_named(tunable_keys, "max"), row);
    if (max) out.max = *max;
    if (row.is_cpus) return;
    out.min = count(given.find("min"), key_named(tunable_keys, "min"), row);
    if (out.min && *out.min > out.max && (max_node == nullptr || max))
        min_past_max(*given.find("min"), row, out, max.has_value());
}

// Of what is only lowered, and of words, the one that grants more is not the larger one.
void Checker::min_past_max(const Element& min, const Tunable& row, const TunablePolicy& bounds, bool is_max_given) {
    const bool is_lowered = row.counts_down_from > 0;
    const std::string_view is_past = is_lowered ? "is less than" : row.words.empty() ? "is above" : "allows more than";
    std::string hint = is_lowered ? "here max is the least: " : "";
    if (!row.words.empty()) hint = fmt::format("by what they allow they are {}: ", list_of(row.words));
    if (is_max_given)
        problem(min, fmt::format("{}swap them, or {} min", hint, is_lowered ? "raise" : "lower"), "min {} {} max {}",
                text_of(row, *bounds.min), is_past, text_of(row, bounds.max));
    else
        problem(min, hint + "give a max as well", "min {} {} max, which is {} by default", text_of(row, *bounds.min),
                is_past, text_of(row, bounds.max));
}

namespace {

// Names that clusters need, for hints alone: any sysctl below net is taken.
constexpr std::array<std::string_view, 11> usual_sysctls{
    "net.ipv4.ip_forward",
    "net.ipv4.conf.all.forwarding",
    "net.ipv6.conf.all.forwarding",
    "net.bridge.bridge-nf-call-iptables",
    "net.bridge.bridge-nf-call-ip6tables",
    "net.bridge.bridge-nf-call-arptables",
    "net.ipv4.tcp_window_scaling",
    "net.ipv4.tcp_timestamps",
    "net.ipv4.tcp_sack",
    "net.ipv4.tcp_congestion_control",
    "net.ipv4.conf.all.rp_filter",
};

} // namespace

void Checker::not_a_sysctl(const Element& key) {
    const std::string_view near = nearest_tunable(key.text, usual_sysctls);
    problem(key,
            near.empty() ? "write a name below net, such as net.ipv4.ip_forward, without '..'"
                         : fmt::format("did you mean '{}'?", near),
            "'{}' is no sysctl below net", shown(key.text));
}

// Readers of YAML disagree on what 010, true or 0x10 are, and the kernel shows none of them.
bool Checker::is_setting(const Element& value, std::string_view name) {
    constexpr std::array<std::string_view, 6> on_or_off{"true", "yes", "on", "false", "no", "off"};
    if (!is(value, Element::Kind::scalar, name, "what the sysctl is to say, such as 1")) return false;
    const std::string text = to_lower(single_spaced(value.text));
    const auto word = std::ranges::find(on_or_off, text);
    if (word != on_or_off.end())
        problem(value, word - on_or_off.begin() < 3 ? "write 1" : "write 0", "'{}' is no value of a sysctl",
                shown(value.text));
    else if (text.starts_with("0x") || (only_digits(text) && text.size() > 1 && text.front() == '0'))
        problem(value, "write it in plain decimal digits", "'{}' is not how the kernel shows a number",
                shown(value.text));
    else if (text.empty() || text.size() > longest_sysctl)
        problem(value, fmt::format("write 1 to {} bytes, such as 1", longest_sysctl), "no value of a sysctl");
    else
        return is_free_of_controls(value, text);
    return false;
}

std::optional<std::uint64_t> Checker::cpus_in(const Element& value, std::string_view name) {
    if (!is(value, Element::Kind::scalar, name, "a set of CPUs, such as ff")) return std::nullopt;
    const auto cpus = parse_cpus(to_lower(value.text));
    if (cpus && !cpus->has_more) return cpus->first;
    problem(
        value,
        fmt::format("write it as the kernel does, in hexadecimal and of the first {} CPUs, such as 3 or ff", most_cpus),
        "'{}' is no set of CPUs", shown(value.text));
    return std::nullopt;
}

namespace {

// What is no sysctl has its name for a path.
std::optional<std::string> expected_path(std::string_view name) {
    return tunables::find_device_setting(name) != nullptr ? std::string(name) : sysctl_path(name);
}

} // namespace

// A raise of ours would be an alarm of ours.
bool Checker::is_tuned(const Element& key, std::string_view path, const Policy& policy) {
    for (const Tunable& row : tunables::catalog()) {
        // A setting of devices has its name for a path.
        if ((path != row.path && path != row.alias && path != row.name) || policy.mode_of(row.id) != Mode::automatic)
            continue;
        // What follows another is raised with that one, or by a min of its own.
        if (row.follows && !policy.of(row.id).min && policy.mode_of(*row.follows) != Mode::automatic) continue;
        problem(key, fmt::format("take it out, or write '{}: {{mode: observe}}' under tunables", row.name),
                "'{}' is expected to stay what it is, and tuned by this policy", shown(key.text));
        return true;
    }
    return false;
}

void Checker::expect(const Element* value, Policy& policy) {
    if (value == nullptr || !is(*value, Element::Kind::map, "expect", expected(key_named(spec_keys, "expect")))) return;
    std::map<std::string, std::size_t> lines; // by path: a value has one name
    if (value->keys.size() > most_expected)
        problem(value->keys[most_expected], "keep those that the cluster needs", "more than {} sysctls are expected",
                most_expected);
    entries(*value, [&](const Element& key, const Element& setting) {
        const auto path = key.text.size() <= longest_sysctl ? expected_path(key.text) : std::nullopt;
        if (!path) return not_a_sysctl(key);
        const auto first = lines.find(std::string(other_name(*path)));
        const auto [same, is_new] = lines.emplace(*path, key.place.line);
        if (!is_new || first != lines.end())
            return problem(key, "keep one of them", "'{}' is the sysctl of line {} by another name", shown(key.text),
                           is_new ? first->second : same->second);
        const auto* of_device = tunables::find_device_setting(key.text);
        if (is_tuned(key, *path, policy)) return;
        if (of_device != nullptr && of_device->is_cpus) {
            if (const auto cpus = cpus_in(setting, shown(key.text)))
                policy.expect.push_back({.name = key.text, .path = *path, .value = cpus_text(*cpus)});
            return;
        }
        if (!is_setting(setting, shown(key.text))) return;
        policy.expect.push_back({.name = key.text, .path = *path, .value = single_spaced(setting.text)});
    });
}

void Checker::percentage(const Element& value, const Key& key, std::string_view whole, double& ratio) {
    const std::string_view text = value.text;
    const auto given = text.ends_with('%') ? ratio_of_percent(text.substr(0, text.size() - 1)) : std::nullopt;
    if (!given)
        problem(value, fmt::format("write a number such as {} or 0.5%, with at most three decimals", key.fallback),
                "{} '{}' is no percentage", key.name, shown(text));
    else if (*given > 1)
        problem(value, "write at most 100%", "{} {} is more than {}", key.name, shown(text), whole);
    else if (*given <= 0)
        problem(value, "to change nothing, write 'mode: observe'", "{} {} allows no raise", key.name, shown(text));
    else
        ratio = *given;
}

void Checker::size(const Element& value, Policy& policy) {
    const std::string_view text = value.text;
    const auto bytes = parse_size(text);
    if (only_digits(text))
        problem(value, budget_hint(text), "memoryBudget '{}' has no unit", shown(text));
    else if (!bytes)
        problem(value, "write " + expected(key_named(spec_keys, "memoryBudget")) + "; units are KiB, MiB, GiB",
                "memoryBudget '{}' is no percentage and no usable size", shown(text));
    else if (*bytes == 0)
        problem(value, "to change nothing, write 'mode: observe'", "memoryBudget {} allows no raise", shown(text));
    else if (*bytes > most_budget_bytes)
        problem(value, "write a percentage of the node's memory, at most 100%, or a size that it has",
                "memoryBudget {} is more than any machine's memory", shown(text));
    else
        policy.memory_budget_bytes = *bytes;
}

void Checker::budget(const Element* value, Policy& policy) {
    const Key& key = key_named(spec_keys, "memoryBudget");
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return;
    value->text.ends_with('%') ? percentage(*value, key, "the node's memory", policy.memory_budget_ratio)
                               : size(*value, policy);
}

void Checker::tenant_share(const Element* value, Policy& policy) {
    const Key& key = key_named(spec_keys, "tenantShare");
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return;
    percentage(*value, key, "memoryBudget", policy.tenant_share);
}

void Checker::metrics(const Element* value, Policy& policy) {
    if (value == nullptr || !is(*value, Element::Kind::map, "metrics", expected(key_named(spec_keys, "metrics"))))
        return;
    const Key& key = metrics_keys[0];
    const Element* const series = fields(*value, metrics_keys, "metrics").find(key.name);
    if (series == nullptr || !is(*series, Element::Kind::scalar, key.name, expected(key))) return;
    const bool is_plain = only_digits(series->text) && !series->text.starts_with('0');
    const auto number = parse_number(series->text);
    if (is_plain && number && *number >= key.least && *number <= key.most)
        policy.max_series = *number;
    else
        problem(*series,
                fmt::format("write a whole number from {} to {}, such as {}", key.least, key.most, key.example),
                "{} '{}' is out of range or no number", key.name, shown(series->text));
}

void Checker::metadata(const Element* value, Policy& policy) {
    if (value == nullptr || !is(*value, Element::Kind::map, "metadata", expected(key_named(file_keys, "metadata"))))
        return;
    const Fields given = fields(*value, metadata_keys, "metadata");
    labels(given.find("labels"), key_named(metadata_keys, "labels"), policy.labels);
    const Element* const name = given.find("name");
    if (name == nullptr || !is(*name, Element::Kind::scalar, "name", expected(metadata_keys[0]))) return;
    if (is_dns_label(name->text))
        policy.name = name->text;
    else
        problem(*name, "at most 63 of a-z, 0-9 and '-', neither first nor last a '-'", "'{}' can't be a name",
                shown(name->text));
}

void Checker::spec(const Element* value, Policy& policy) {
    if (value == nullptr || !is(*value, Element::Kind::map, "spec", expected(key_named(file_keys, "spec")))) return;
    const Fields given = fields(*value, spec_keys, "spec");
    policy.mode = mode(given.find("mode"), spec_keys).value_or(policy.mode);
    if (const auto text = choice(given.find("onExit"), key_named(spec_keys, "onExit")))
        policy.on_exit = *text == to_string(OnExit::restore) ? OnExit::restore : OnExit::keep;
    if (const auto text = choice(given.find("onConflict"), key_named(spec_keys, "onConflict")))
        policy.on_conflict = *text == to_string(OnConflict::reassert) ? OnConflict::reassert : OnConflict::yield;
    budget(given.find("memoryBudget"), policy);
    tenant_share(given.find("tenantShare"), policy);
    tunables(given.find("tunables"),
             [&](const Element& bounds, const Tunable& row) { tunable(bounds, row, policy.of(row.id)); });
    metrics(given.find("metrics"), policy);
    expect(given.find("expect"), policy);
    pods(given.find("pods"), policy);
}

Policy Checker::file(const Element& root) {
    Policy policy;
    if (root.kind == Element::Kind::null) {
        problem(root, "'bpftune-k8s policy show' prints one to begin with", "the file is empty");
        return policy;
    }
    if (root.kind != Element::Kind::map) {
        problem(root, "begin with 'apiVersion:', 'kind:', 'metadata:' and 'spec:'", "the file {}", name_of(root.kind));
        return policy;
    }
    const Fields given = fields(root, file_keys, "the file");
    choice(given.find("apiVersion"), key_named(file_keys, "apiVersion"));
    choice(given.find("kind"), key_named(file_keys, "kind"));
    metadata(given.find("metadata"), policy);
    spec(given.find("spec"), policy);
    return policy;
}

namespace {

void sort_and_cap(std::vector<Diagnostic>& problems) {
    std::ranges::stable_sort(problems, {}, [](const Diagnostic& d) { return std::tuple(d.line, d.column); });
    if (problems.size() <= most_problems) return;
    const std::size_t more = problems.size() - most_problems;
    problems.resize(most_problems);
    const Diagnostic last = problems.back();
    problems.push_back({last.line, last.column, fmt::format("and {} more problems", more), ""});
}

} // namespace

std::expected<Policy, std::vector<Diagnostic>> parse(std::string_view text) {
    auto document = read(text);
    Policy policy;
    std::vector<Diagnostic> problems;
    if (document) {
        Checker checker(std::move(document->problems));
        policy = checker.file(document->root);
        problems = checker.take();
    } else {
        problems.push_back(std::move(document.error()));
    }
    if (problems.empty()) return policy;
    sort_and_cap(problems);
    count_code_points(text, problems);
    return std::unexpected(std::move(problems));
}

} // namespace bpftune::policy

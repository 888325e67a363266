// SPDX-License-Identifier: Apache-2.0
// What is below `pods`: whom each entry is about, and what it leaves of spec.
#include <algorithm>

#include "core/text.hpp"
#include "policy/checker.hpp"

namespace bpftune::policy {
namespace {

bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'); }

// As Kubernetes has the part of a label's name after the prefix, and a value that is not empty.
bool is_plain(std::string_view text) {
    const auto is_inside = [](char c) { return is_alphanumeric(c) || c == '-' || c == '_' || c == '.'; };
    return !text.empty() && text.size() <= longest_label && is_alphanumeric(text.front()) &&
           is_alphanumeric(text.back()) && std::ranges::all_of(text, is_inside);
}

// A DNS subdomain (RFC 1123).
bool is_prefix(std::string_view text) {
    if (text.size() > longest_prefix ||
        text.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-.") != std::string_view::npos)
        return false;
    for (std::size_t at = 0; at <= text.size();) {
        const std::size_t end = std::min(text.find('.', at), text.size());
        const std::string_view part = text.substr(at, end - at);
        if (part.empty() || part.front() == '-' || part.back() == '-') return false;
        at = end + 1;
    }
    return true;
}

bool is_qualified_name(std::string_view text) {
    const std::size_t slash = text.find('/');
    if (slash == std::string_view::npos) return is_plain(text);
    return is_prefix(text.substr(0, slash)) && is_plain(text.substr(slash + 1));
}

constexpr std::string_view wildcards = "*?[]!^";

bool is_made_of(std::string_view text, std::string_view letters) {
    if (letters.empty()) return !text.contains('/');
    return std::ranges::all_of(text, [&](char c) { return letters.contains(c) || wildcards.contains(c); });
}

constexpr std::string_view plain_text =
    "at most 63 letters, digits, '-', '_' and '.', first and last a letter or digit";

} // namespace

// Of an entry of `pods`.
void Checker::lowered_tunable(const Element& value, const Tunable& row, TunablePolicy& out) {
    out = {.named = true, .max = row.kernel_max};
    if (value.kind == Element::Kind::null || !is(value, Element::Kind::map, row.name, std::string(tunable_example)))
        return;
    const Fields given = fields(value, pod_tunable_keys, fmt::format("{} of an entry of pods", row.name));
    out.mode = mode(given.find("mode"), pod_tunable_keys).value_or(out.mode);
    only_what_applies(given, row);
    shrink_after(given.find("shrinkAfter"), out);
    out.max = count(given.find("max"), key_named(pod_tunable_keys, "max"), row).value_or(out.max);
}

void Checker::pattern(const Element* value, const Key& key, std::optional<std::string>& out) {
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return;
    const std::string& text = value->text;
    const bool has_suffix = key.name != "unit" || text.contains('.') || text.contains('*');
    if (text.empty() || text.size() > longest_pattern || !is_made_of(text, key.letters))
        problem(*value,
                fmt::format("write {}: 1 to {} bytes{}", expected(key), longest_pattern,
                            key.letters.empty() ? ", and no folder" : ""),
                "{} '{}' can't be the name of a {}", key.name, shown(text), key.name == "netns" ? "file" : key.name);
    else if (!has_suffix)
        problem(*value, fmt::format("write {}.service, or \"{}.*\"", shown(text), shown(text)),
                "unit '{}' has no suffix, as all units have", shown(text));
    else if (is_free_of_controls(*value, text))
        out = text;
}

bool Checker::is_label_value(const Element& value, const Key& key, std::string_view name) {
    if (value.kind == Element::Kind::null)
        return is(value, Element::Kind::scalar, name, "the value that it has; \"\" if that is empty");
    if (!is(value, Element::Kind::scalar, name, "one value; another one takes an entry of its own")) return false;
    const std::string& text = value.text;
    if (key.kind == Kind::annotations) {
        if (text.size() <= longest_annotation) return is_free_of_controls(value, text);
        problem(value, fmt::format("at most {} bytes", longest_annotation), "the value of '{}' is too long", name);
        return false;
    }
    if (text.empty() || is_plain(text)) return true;
    problem(value,
            text.find_first_of("*?") != std::string_view::npos ? "a label is compared as a whole: write one value"
                                                               : std::string(plain_text),
            "'{}' can't be the value of a label", shown(text));
    return false;
}

void Checker::labels(const Element* value, const Key& key, Labels& out) {
    if (value == nullptr || !is(*value, Element::Kind::map, key.name, expected(key))) return;
    if (value->keys.empty()) problem(*value, "take it out, or write " + expected(key), "'{}' names none", key.name);
    if (value->keys.size() > most_labels)
        problem(value->keys[most_labels], "keep those that tell it from others", "more than {} {}", most_labels,
                key.name);
    entries(*value, [&](const Element& name, const Element& text) {
        if (!is_qualified_name(name.text))
            problem(name, fmt::format("write NAME or PREFIX/NAME: {}; the prefix a DNS name", plain_text),
                    "'{}' can't be the name of {}", shown(name.text),
                    key.kind == Kind::annotations ? "an annotation" : "a label");
        else if (is_label_value(text, key, name.text))
            out.emplace(name.text, text.text);
    });
}

void Checker::match(const Element& value, Match& out) {
    if (!is(value, Element::Kind::map, "match", expected(key_named(pod_keys, "match")))) return;
    const Fields given = fields(value, match_keys, "match");
    const auto key = [](std::string_view name) -> const Key& { return key_named(match_keys, name); };
    pattern(given.find("namespace"), key("namespace"), out.ns);
    labels(given.find("labels"), key("labels"), out.labels);
    labels(given.find("annotations"), key("annotations"), out.annotations);
    if (const auto name = choice(given.find("qos"), key("qos")))
        out.qos = static_cast<QosClass>(std::ranges::find(qos_classes, *name) - qos_classes.begin());
    pattern(given.find("netns"), key("netns"), out.netns);
    pattern(given.find("unit"), key("unit"), out.unit);
    if (out.is_of_pods() && out.is_of_others())
        problem(value, "make two entries of it",
                "an entry that nothing comes to: netns and unit are of what is no pod");
}

void Checker::pod(const Element& value, PodRule& out) {
    out.line.value = value.place.line;
    if (!is(value, Element::Kind::map, "an entry of pods", "a map such as 'match: {namespace: payments}'")) return;
    const Fields given = fields(value, pod_keys, "an entry of pods");
    if (const Element* const whom = given.find("match")) match(*whom, out.match);
    out.mode = mode(given.find("mode"), pod_keys).value_or(out.mode);
    tunables(given.find("tunables"), [&](const Element& bounds, const Tunable& row) {
        lowered_tunable(bounds, row, out.tunables[static_cast<std::size_t>(row.id)]);
    });
}

// Of those that are right themselves.
void Checker::is_reached(const Element& entry, const PodRule& rule, std::span<const PodRule> before) {
    const auto first = std::ranges::find_if(before, [&](const PodRule& each) { return each.match.covers(rule.match); });
    if (first == before.end()) return;
    const std::size_t line = first->line.value;
    problem(entry,
            first->match == rule.match && !rule.match.is_all()
                ? fmt::format("keep one of them: line {} matches the same", line)
                : fmt::format("put it before line {}", line),
            "an entry that nothing comes to");
}

void Checker::pods(const Element* value, Policy& policy) {
    if (value == nullptr || !is(*value, Element::Kind::list, "pods", expected(key_named(spec_keys, "pods")))) return;
    if (value->values.size() > most_entries)
        return problem(value->values[most_entries], "let one entry match several", "more than {} entries of pods",
                       most_entries);
    for (const Element& each : value->values) {
        PodRule rule;
        const std::size_t before = problems_.size();
        pod(each, rule);
        if (problems_.size() != before) continue;
        is_reached(each, rule, policy.pods);
        policy.pods.push_back(std::move(rule));
    }
}

} // namespace bpftune::policy

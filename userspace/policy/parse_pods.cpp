// SPDX-License-Identifier: Apache-2.0
// What is below `pods`: whom each entry is about, and what it leaves of spec.
#include <algorithm>

#include "core/systemd.hpp"
#include "core/text.hpp"
#include "policy/checker.hpp"
#include "policy/names.hpp"

namespace bpftune::policy {
namespace {

// Of a pattern, with "?" in place of each class ("[ab]", "[!a-c]"). nullopt: other letters, or a bracket alone. Where
// any letter may be, as it is.
std::optional<std::string> shape_of(std::string_view pattern, std::string_view letters) {
    if (letters.empty()) return pattern.contains('/') ? std::nullopt : std::optional<std::string>(pattern);
    const auto is_known = [&](std::string_view part) {
        return part.find_first_not_of(letters) == std::string_view::npos;
    };
    std::string shape;
    for (std::size_t at = 0; at < pattern.size(); ++at) {
        if (pattern[at] != '[') {
            if (pattern[at] != '*' && pattern[at] != '?' && !is_known(pattern.substr(at, 1))) return std::nullopt;
            shape += pattern[at];
            continue;
        }
        const bool is_negated = pattern.substr(at + 1).starts_with('!') || pattern.substr(at + 1).starts_with('^');
        const std::size_t begin = at + (is_negated ? 2 : 1);
        const std::size_t end = pattern.find(']', begin);
        if (end == std::string_view::npos || end == begin || !is_known(pattern.substr(begin, end - begin)))
            return std::nullopt;
        shape += '?';
        at = end;
    }
    return shape;
}

// Whether some namespace, or unit, is called so.
bool can_be_name(std::string_view shape, std::string_view key) {
    if (key == "unit") return !shape.starts_with('.');
    if (key != "namespace") return true;
    const auto length = static_cast<std::size_t>(std::ranges::count_if(shape, [](char c) { return c != '*'; }));
    return length <= longest_label && !shape.starts_with('-') && !shape.ends_with('-');
}

constexpr std::string_view plain_text =
    "at most 63 letters, digits, '-', '_' and '.', first and last a letter or digit";

} // namespace

// Of an entry of `pods`.
void Checker::lowered_tunable(const Element& value, const Tunable& row, TunablePolicy& out) {
    out = {.named = true, .max = row.kernel_max};
    if (value.kind == Element::Kind::null || !is(value, Element::Kind::map, row.name, std::string(tunable_example)))
        return;
    const Fields given = fields(value, pod_tunable_keys, fmt::format("{} of an entry of pods", row.name), &row);
    out.mode = mode(given.find("mode"), pod_tunable_keys).value_or(out.mode);
    only_what_applies(given, row);
    shrink_after(given.find("shrinkAfter"), out);
    out.max = count(given.find("max"), key_named(pod_tunable_keys, "max"), row).value_or(out.max);
}

void Checker::pattern(const Element* value, const Key& key, std::optional<std::string>& out) {
    if (value == nullptr || !is(*value, Element::Kind::scalar, key.name, expected(key))) return;
    const std::string& text = value->text;
    const auto shape = shape_of(text, key.letters);
    if (!shape || text.empty() || text.size() > longest_pattern || !can_be_name(*shape, key.name))
        not_a_name(*value, key);
    else if ((key.name != "unit" || is_of_unit(*value, *shape)) && is_free_of_controls(*value, text))
        out = text;
}

void Checker::not_a_name(const Element& value, const Key& key) {
    std::string hint = fmt::format("write {}: ", expected(key));
    if (value.text.starts_with('!') || value.text.starts_with('^'))
        hint = fmt::format("put an entry for {} before that for all, {{}}", shown(value.text.substr(1)));
    else if (key.name == "namespace")
        hint += "at most 63 of a-z, 0-9 and '-', neither first nor last a '-'";
    else
        hint += fmt::format("1 to {} bytes{}", longest_pattern, key.letters.empty() ? ", and no folder" : "");
    problem(value, hint, "{} '{}' can't be the name of a {}", key.name, shown(value.text),
            key.name == "netns" ? "file" : key.name);
}

bool Checker::is_of_unit(const Element& value, std::string_view shape) {
    const std::string name = shown(value.text);
    if (!value.text.contains('.') && !value.text.contains('*')) {
        problem(value, fmt::format("write {}.service, or \"{}.*\"", name, name),
                "unit '{}' has no suffix, as all units have", name);
        return false;
    }
    const std::size_t point = shape.rfind('.'); // none: in a class, or anything
    const std::string_view type = shape.substr(std::min(point, shape.size() - 1) + 1);
    if (point == std::string_view::npos || type.find_first_of("*?") != std::string_view::npos ||
        std::ranges::find(unit_types, type) != unit_types.end())
        return true;
    const std::string_view near = nearest(type, unit_types);
    problem(value,
            near.empty()
                ? "write one that ends in one of " + list_of(unit_types)
                : fmt::format("did you mean '{}.{}'?", shown(value.text.substr(0, value.text.rfind('.'))), near),
            "no process is in a unit '{}'", name);
    return false;
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
    if (policy::is_label_value(text)) return true;
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

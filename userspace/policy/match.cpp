// SPDX-License-Identifier: Apache-2.0
#include "policy/match.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fnmatch.h>

#include "core/text.hpp"

namespace bpftune::policy {
namespace {

bool fits(const std::string& pattern, const std::string& text, int flags = 0) {
    return ::fnmatch(pattern.c_str(), text.c_str(), flags) == 0;
}

constexpr Matched yes{.may_be = true};
constexpr Matched no{};

Matched if_so(bool matched) { return {.may_be = matched}; }
Matched not_told(Unknown unknown) { return {.may_be = true, .unknown = unknown}; }

bool is_among(const Labels& wanted, const Labels& found) {
    return std::ranges::all_of(wanted, [&](const auto& label) {
        const auto same = found.find(label.first);
        return same != found.end() && same->second == label.second;
    });
}

// Whether a pod has them, whose text is `printable`. Only values of annotations are changed by that.
Matched has(const Labels& found, const Labels& wanted, bool is_incomplete) {
    bool misses = false;
    for (const auto& [name, value] : wanted) {
        const auto same = found.find(name);
        misses |= same == found.end();
        if (same != found.end() && same->second != printable(value)) return no;
    }
    if (!misses) return yes;
    return is_incomplete ? not_told(Unknown::more_labels) : no;
}

Matched match_namespace(const Match& match, const Subject& subject) {
    if (!match.ns) return yes;
    return subject.pod->ns.empty() ? not_told(Unknown::pod_namespace) : if_so(fits(*match.ns, subject.pod->ns));
}

Matched match_labels(const Match& match, const Subject& subject) {
    if (match.labels.empty() && match.annotations.empty()) return yes;
    const PodFacts* facts = subject.facts;
    if (facts == nullptr) return not_told(Unknown::pod);
    if (facts->source != PodSource::runtime) return not_told(Unknown::labels);
    const Matched labels = has(facts->labels, match.labels, facts->is_incomplete);
    const Matched annotations = has(facts->annotations, match.annotations, facts->is_incomplete);
    if (!labels.may_be || !annotations.may_be) return no;
    return labels.is_certain() ? annotations : labels;
}

Matched match_qos(const Match& match, const Subject& subject) {
    if (!match.qos) return yes;
    if (subject.facts == nullptr) return not_told(Unknown::pod);
    if (!subject.facts->qos) return not_told(Unknown::qos);
    return if_so(subject.facts->qos == match.qos);
}

Matched match_pod(const Match& match, const Subject& subject) {
    if (!match.is_of_pods()) return yes;
    if (subject.is_owner_unknown) return not_told(Unknown::owner);
    if (subject.pod == nullptr) return no;
    const std::array keys{match_namespace(match, subject), match_labels(match, subject), match_qos(match, subject)};
    if (std::ranges::any_of(keys, [](const Matched& key) { return !key.may_be; })) return no;
    const auto unknown = std::ranges::find_if(keys, [](const Matched& key) { return !key.is_certain(); });
    return unknown == keys.end() ? yes : *unknown;
}

// A backslash is a part of unit names, which have "-" as "\x2d", and doubled in what is `printable`.
bool is_in_unit(const std::string& pattern, std::string_view unit) {
    return !unit.empty() && fits(printable(pattern), std::string(unit), FNM_NOESCAPE);
}

Matched match_others(const Match& match, const Subject& subject) {
    if (!match.is_of_others()) return yes;
    if (subject.pod != nullptr) return no;
    const auto is_bound = [&](const std::string& name) { return fits(*match.netns, name); };
    if (match.netns && !subject.is_name_unknown && std::ranges::none_of(subject.bound, is_bound)) return no;
    if (subject.is_owner_unknown) return not_told(Unknown::owner);
    if (match.unit && !subject.is_unit_unknown && !is_in_unit(*match.unit, subject.unit)) return no;
    if (match.netns && subject.is_name_unknown) return not_told(Unknown::netns);
    return match.unit && subject.is_unit_unknown ? not_told(Unknown::unit) : yes;
}

// Of patterns: the same, or this one takes a later one that is a plain name.
bool takes(const std::optional<std::string>& pattern, const std::optional<std::string>& later) {
    if (!pattern) return true;
    if (!later) return false;
    const bool is_plain = later->find_first_of("*?[\\") == std::string::npos;
    return *pattern == *later || (is_plain && fits(*pattern, *later));
}

} // namespace

bool Match::covers(const Match& later) const {
    return takes(ns, later.ns) && takes(netns, later.netns) && takes(unit, later.unit) && (!qos || qos == later.qos) &&
           is_among(labels, later.labels) && is_among(annotations, later.annotations);
}

Matched matches(const Match& match, const Subject& subject) {
    const Matched pod = match_pod(match, subject);
    const Matched others = match_others(match, subject);
    if (!pod.may_be || !others.may_be) return no;
    return pod.is_certain() ? others : pod;
}

std::string_view to_string(Unknown unknown) {
    switch (unknown) {
    case Unknown::nothing: return {};
    case Unknown::owner: return "whether it is a pod's, and which one's, is not known";
    case Unknown::pod_namespace: return "its pod's namespace is not known: no runtime tells it";
    case Unknown::pod: return "its pod is not known yet";
    case Unknown::labels: return "its pod's labels are not known: no runtime tells them";
    case Unknown::more_labels: return "its pod has more labels or annotations than are looked at";
    case Unknown::annotation: return "it may be a pod that asks for that, and is not known yet";
    case Unknown::qos: return "its pod's class of service is not known";
    case Unknown::netns: return "how its network namespace is called is not known: the mount table was not read";
    case Unknown::unit: return "its systemd unit is not known";
    case Unknown::user_ns: return "whether a user made its network namespace is not known yet";
    }
    std::unreachable();
}

} // namespace bpftune::policy

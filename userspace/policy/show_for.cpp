// SPDX-License-Identifier: Apache-2.0
#include <array>

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "core/text.hpp"
#include "policy/parse.hpp"

namespace bpftune::policy {
namespace {

constexpr std::size_t longest_line = 200;

std::string pairs_of(const Labels& labels) {
    std::vector<std::string> pairs;
    for (const auto& [name, value] : labels) pairs.push_back(fmt::format("{}={}", name, value));
    return truncated(fmt::format("{}", fmt::join(pairs, ", ")), longest_line);
}

std::string name_of(const Pod& pod) { return pod.ns.empty() ? pod.name : pod.ns + "/" + pod.name; }

void add_facts(const PodFacts& facts, std::string_view how, std::vector<std::string>& lines) {
    const std::string known = how.empty() ? fmt::format("known by {}", to_string(facts.source)) : std::string(how);
    const std::string qos = facts.qos ? fmt::format(", {}", to_string(*facts.qos)) : "";
    lines.push_back(fmt::format("pod {}: {}{}", name_of(facts.pod), known, qos));
    if (!facts.labels.empty()) lines.push_back("labels, when it was made: " + pairs_of(facts.labels));
    if (!facts.annotations.empty()) lines.push_back("annotations, when it was made: " + pairs_of(facts.annotations));
}

std::string entry_text(const Policy& policy, const Grant& grant) {
    if (grant.unknown != Unknown::nothing || grant.unnamed) return held_by(policy, grant);
    if (grant.rule == nullptr)
        return policy.pods.empty() ? "the policy has no entries of pods" : "no entry of pods is about it: spec holds";
    return fmt::format("{} is about it: mode {}", place_of(policy, *grant.rule), to_string(grant.rule->mode));
}

std::string annotation_text(const std::string& annotated) {
    return fmt::format("its annotation {} says {}{}", mode_annotation, truncated(annotated, 30),
                       mode(annotated) ? "" : ", which is no mode and counts as observe");
}

} // namespace

ShownFor show_for(const Policy& policy, const Subject& subject, std::string_view how) {
    const Grant grant = policy.grant_for(subject);
    ShownFor shown;
    if (subject.facts != nullptr) add_facts(*subject.facts, how, shown.lines);
    shown.lines.push_back(entry_text(policy, grant));
    if (grant.annotated) shown.lines.push_back(annotation_text(*grant.annotated));
    Policy left = policy;
    left.pods.clear();
    left.mode = std::min(policy.mode, grant.mode());
    for (const tunables::Tunable& row : tunables::catalog()) left.of(row.id) = policy.of(row.id, grant);
    shown.policy = show(left);
    return shown;
}

std::string summary(const Policy& policy) {
    std::array<std::size_t, 3> of_mode{};
    for (const tunables::Tunable& row : tunables::catalog())
        ++of_mode.at(static_cast<std::size_t>(policy.most_of(row.id)));
    const auto count = [&](Mode mode) { return of_mode.at(static_cast<std::size_t>(mode)); };
    std::string text(to_string(policy.mode));
    if (policy.mode == Mode::observe) text += ", nothing is written";
    const auto add = [&](std::size_t number, std::string_view one, std::string_view several) {
        if (number > 0) text += fmt::format(", {} {}", number, number == 1 ? one : several);
    };
    add(count(Mode::automatic), "tunable", "tunables");
    add(count(Mode::recommend), "tunable recommended", "tunables recommended");
    if (policy.mode == Mode::automatic) text += ", memoryBudget " + budget_text(policy);
    add(policy.pods.size(), "entry of pods", "entries of pods");
    add(policy.expect.size(), "sysctl expected", "sysctls expected");
    return text;
}

} // namespace bpftune::policy

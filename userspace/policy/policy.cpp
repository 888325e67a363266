// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "core/sysctl_name.hpp"
#include "core/text.hpp"

namespace bpftune::policy {

std::string_view to_string(Mode mode) {
    switch (mode) {
    case Mode::observe: return "observe";
    case Mode::recommend: return "recommend";
    case Mode::automatic: return "auto";
    }
    std::unreachable();
}

std::optional<Mode> mode(std::string_view text) {
    for (const Mode mode : {Mode::observe, Mode::recommend, Mode::automatic})
        if (to_string(mode) == text) return mode;
    return std::nullopt;
}

std::string_view to_string(OnExit on_exit) { return on_exit == OnExit::keep ? "keep" : "restore"; }

std::string_view to_string(OnConflict on_conflict) { return on_conflict == OnConflict::yield ? "yield" : "reassert"; }

std::vector<TunablePolicy> unnamed() { return std::vector<TunablePolicy>(tunables::catalog().size()); }

Policy::Policy() {
    for (const tunables::Tunable& tunable : tunables::catalog()) {
        of(tunable.id).named = !tunable.opt_in;
        of(tunable.id).max = tunable.default_max;
        of(tunable.id).shrink_after = tunable.default_shrink_after;
    }
}

Mode Policy::mode_of(TunableId id) const {
    if (!of(id).named) return Mode::observe;
    return std::min(mode, of(id).mode);
}

Mode Policy::mode_within_asked(TunableId id) const {
    const auto& bounded_by = tunables::row(id).bounded_by;
    if (!of(id).named && !bounded_by) return std::min(mode, of(id).mode);
    return mode_of(of(id).named ? id : *bounded_by);
}

bool Policy::allows(TunableId id, bool within_asked) const {
    return of(id).named || (within_asked && !tunables::row(id).opt_in_where.empty());
}

Mode Policy::most_of(TunableId id) const {
    if (!allows(id, true)) return Mode::observe;
    const auto& leader = tunables::row(id).follows;
    const Mode own = mode_within_asked(id);
    return leader && !of(id).min ? std::min(own, most_of(*leader)) : own;
}

Mode Grant::mode() const {
    if (unknown != Unknown::nothing || unnamed) return Mode::observe;
    Mode lowest = annotated ? policy::mode(*annotated).value_or(Mode::observe) : Mode::automatic;
    if (rule != nullptr) lowest = std::min(lowest, rule->mode);
    return other != nullptr ? std::min(lowest, other->mode()) : lowest;
}

Grant Grant::alone() const {
    Grant one = *this;
    one.other = nullptr;
    return one;
}

bool Grant::is_in_doubt() const {
    if (unknown != Unknown::nothing || unnamed) return true;
    return annotated && !policy::mode(*annotated) && (rule == nullptr || rule->mode != Mode::observe);
}

Grant Policy::grant_for(const Subject& subject) const {
    Grant grant;
    if (subject.facts != nullptr)
        if (const auto own = subject.facts->annotations.find(std::string(mode_annotation));
            own != subject.facts->annotations.end())
            grant.annotated = own->second;
    for (const PodRule& rule : pods) {
        const Matched matched = matches(rule.match, subject);
        if (!matched.may_be) continue;
        grant.rule = &rule;
        grant.unknown = matched.unknown;
        break;
    }
    const bool is_observed = grant.told() != nullptr && grant.rule->mode == Mode::observe;
    // What only the runtime tells comes with the annotation.
    const bool is_all = grant.unknown == Unknown::nothing || grant.unknown == Unknown::labels ||
                        grant.unknown == Unknown::pod_namespace;
    if (subject.may_ask && !is_observed && is_all) grant.unknown = Unknown::annotation;
    const bool is_named = grant.rule != nullptr && !grant.rule->match.is_all();
    if (is_named || is_observed || grant.unknown != Unknown::nothing) return grant;
    if (subject.is_user_ns_unknown) grant.unknown = Unknown::user_ns;
    grant.unnamed = subject.user_ns_owner;
    return grant;
}

std::string place_of(const Policy& policy, const PodRule& rule) {
    if (rule.line.value == 0) return "an entry of pods";
    if (policy.file.value.empty()) return fmt::format("line {} of the policy", rule.line.value);
    return fmt::format("{}:{}", policy.file.value, rule.line.value);
}

std::string held_by(const Policy& policy, const Grant& grant) {
    if (grant.unknown == Unknown::annotation || grant.unknown == Unknown::user_ns)
        return fmt::format("left alone: {}", to_string(grant.unknown));
    if (grant.unnamed)
        return fmt::format("left alone: in a user namespace of uid {}: named by no entry of pods", *grant.unnamed);
    if (grant.unknown != Unknown::nothing)
        return fmt::format("left alone: {} may be about it, and {}", place_of(policy, *grant.rule),
                           to_string(grant.unknown));
    const Mode entry = grant.rule != nullptr ? grant.rule->mode : Mode::automatic;
    if (grant.annotated && !policy::mode(*grant.annotated) && entry != Mode::observe)
        return fmt::format("held by its pod's annotation {}: '{}' is no mode, and counts as observe", mode_annotation,
                           truncated(*grant.annotated, 30));
    if (grant.annotated && grant.mode() < entry) return fmt::format("held by its pod's annotation {}", mode_annotation);
    return grant.rule != nullptr ? "held by " + place_of(policy, *grant.rule) : std::string();
}

Mode Policy::mode_of(TunableId id, const Grant& grant) const {
    if (!of(id).named) return Mode::observe;
    return std::min(mode, of(id, grant).mode);
}

namespace {

// `lowered` is what is left so far.
TunablePolicy lower(TunablePolicy lowered, TunableId id, const Grant& grant) {
    lowered.mode = std::min(lowered.mode, grant.mode());
    if (grant.told() == nullptr) return lowered;
    const TunablePolicy& own = grant.told()->tunables[static_cast<std::size_t>(id)];
    if (!own.named) return lowered;
    lowered.mode = std::min(lowered.mode, own.mode);
    lowered.max = tunables::row(id).is_cpus ? lowered.max & own.max : std::min(lowered.max, own.max);
    if (lowered.min) lowered.min = std::min(*lowered.min, lowered.max);
    if (own.shrink_after)
        lowered.shrink_after = std::min(*own.shrink_after, lowered.shrink_after.value_or(*own.shrink_after));
    return lowered;
}

} // namespace

TunablePolicy Policy::of(TunableId id, const Grant& grant) const {
    const TunablePolicy lowered = lower(of(id), id, grant);
    return grant.other != nullptr ? lower(lowered, id, *grant.other) : lowered;
}

Grant Policy::lower_mode(TunableId id, const Grant& grant) const {
    const Grant own = grant.alone();
    return grant.other != nullptr && of(id, *grant.other).mode < of(id, own).mode ? *grant.other : own;
}

Grant Policy::lower_max(TunableId id, const Grant& grant) const {
    const Grant own = grant.alone();
    return grant.other != nullptr && of(id, *grant.other).max < of(id, own).max ? *grant.other : own;
}

std::uint64_t Policy::budget_bytes(std::uint64_t memory_bytes) const {
    if (memory_budget_bytes)
        return memory_bytes > 0 ? std::min(*memory_budget_bytes, memory_bytes) : *memory_budget_bytes;
    return static_cast<std::uint64_t>(static_cast<double>(memory_bytes) * memory_budget_ratio);
}

std::uint64_t Policy::share_bytes(std::uint64_t memory_bytes) const {
    return static_cast<std::uint64_t>(static_cast<double>(budget_bytes(memory_bytes)) * tenant_share);
}

std::optional<std::string> sysctl_path(std::string_view name) {
    constexpr std::string_view letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.:@+/";
    if (name.find_first_not_of(letters) != std::string_view::npos) return std::nullopt;
    std::string path = path_of_sysctl(name);
    if (!path.starts_with("net/")) return std::nullopt;
    for (std::size_t at = 0; at <= path.size();) {
        const std::size_t end = std::min(path.find('/', at), path.size());
        const std::string_view part = std::string_view(path).substr(at, end - at);
        if (part.empty() || part == "." || part == "..") return std::nullopt;
        at = end + 1;
    }
    return path;
}

// net/ipv4/devinet.c: both are IPV4_DEVCONF_ALL(FORWARDING).
std::string_view other_name(std::string_view path) {
    constexpr std::string_view forward = "net/ipv4/ip_forward", all = "net/ipv4/conf/all/forwarding";
    return path == forward ? all : path == all ? forward : std::string_view();
}

} // namespace bpftune::policy

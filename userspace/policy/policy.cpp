// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.hpp"

#include <algorithm>
#include <utility>

#include <fnmatch.h>

#include "core/sysctl_name.hpp"

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

const PodRule* Policy::rule_for(std::span<const std::string> bound_names) const {
    const auto matches = [&](const PodRule& rule) {
        return !rule.netns || std::ranges::any_of(bound_names, [&](const std::string& bound) {
            return ::fnmatch(rule.netns->c_str(), bound.c_str(), 0) == 0;
        });
    };
    const auto found = std::ranges::find_if(pods, matches);
    return found == pods.end() ? nullptr : &*found;
}

Mode Policy::mode_of(TunableId id, const PodRule* rule) const {
    if (!of(id).named) return Mode::observe;
    return std::min(mode, of(id, rule).mode);
}

TunablePolicy Policy::of(TunableId id, const PodRule* rule) const {
    TunablePolicy lowered = of(id);
    if (rule == nullptr) return lowered;
    lowered.mode = std::min(lowered.mode, rule->mode);
    const TunablePolicy& own = rule->tunables[static_cast<std::size_t>(id)];
    if (!own.named) return lowered;
    lowered.mode = std::min(lowered.mode, own.mode);
    lowered.max = tunables::row(id).is_cpus ? lowered.max & own.max : std::min(lowered.max, own.max);
    if (lowered.min) lowered.min = std::min(*lowered.min, lowered.max);
    if (own.shrink_after)
        lowered.shrink_after = std::min(*own.shrink_after, lowered.shrink_after.value_or(*own.shrink_after));
    return lowered;
}

std::uint64_t Policy::budget_bytes(std::uint64_t memory_bytes) const {
    if (memory_budget_bytes) return *memory_budget_bytes;
    return static_cast<std::uint64_t>(static_cast<double>(memory_bytes) * memory_budget_ratio);
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

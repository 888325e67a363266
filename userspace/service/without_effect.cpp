// SPDX-License-Identifier: Apache-2.0
#include "service/without_effect.hpp"

#include <algorithm>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include <fmt/format.h>
#include <sched.h>

#include "sys/files.hpp"
#include "tunables/catalog.hpp"
#include "tunables/without_effect.hpp"

namespace bpftune::service {
namespace {

constexpr std::string_view everywhere = "net/ipv4/ip_forward"; // what a namespace without it has is not known

// Of each network namespace, and there without any module.
bool is_named_number(const policy::Policy& policy, const tunables::Tunable& row) {
    const bool is_number = row.kind == tunables::Kind::netns_sysctl && row.words.empty() && !row.field;
    return is_number && row.opt_in && policy.of(row.id).named && !row.path.starts_with("net/netfilter/");
}

// Of one that needs no name it is not known whether the file has it, but by a bound that is not the catalog's.
bool has_own_bounds(const policy::Policy& policy, const tunables::Tunable& row) {
    const policy::TunablePolicy& own = policy.of(row.id);
    return own.mode != policy::Mode::observe && (own.min || own.max != row.default_max);
}

// Where it is so for the node itself and for each new pod.
std::optional<std::string> why_it_bounds_nothing(const tunables::Tunable& row, const ValueOf& in_new_netns,
                                                 const ValueOf& here) {
    if (row.only_if_zero.empty()) return std::nullopt;
    const auto own = here(row.only_if_zero);
    const auto of_new = in_new_netns(row.only_if_zero);
    if (own.value_or(0) == 0 || of_new.value_or(0) == 0) return std::nullopt;
    std::string name(row.only_if_zero);
    std::ranges::replace(name, '/', '.');
    return fmt::format("it bounds something only where {} is 0, which is {} here and {} in new network namespaces",
                       name, *own, *of_new);
}

} // namespace

std::optional<std::uint64_t> value_here(std::string_view sysctl) {
    const auto number = sys::read_number("/proc/sys/" + std::string(sysctl));
    return number ? std::optional<std::uint64_t>(*number) : std::nullopt;
}

// /proc/sys/net follows the thread.
std::optional<std::uint64_t> value_in_new_netns(std::string_view sysctl) {
    std::optional<std::uint64_t> value;
    std::thread([&] {
        if (::unshare(CLONE_NEWNET) != 0) return;
        value = value_here(sysctl);
    }).join();
    return value;
}

ValueOf values_in_new_netns() {
    std::set<std::string_view> paths{everywhere};
    for (const tunables::WithoutEffect& row : tunables::without_effect()) paths.insert(row.path);
    for (const tunables::Tunable& row : tunables::catalog())
        for (const std::string_view path : {row.path, row.only_if_zero})
            if (path.starts_with("net/")) paths.insert(path);
    std::map<std::string, std::uint64_t, std::less<>> values;
    std::thread([&] {
        if (::unshare(CLONE_NEWNET) != 0) return;
        for (const std::string_view path : paths)
            if (const auto value = value_here(path)) values.emplace(path, *value);
    }).join();
    return [values = std::move(values)](std::string_view sysctl) {
        const auto found = values.find(sysctl);
        return found != values.end() ? std::optional(found->second) : std::nullopt;
    };
}

std::vector<NamedInVain> named_in_vain(const policy::Policy& policy, const ValueOf& in_new_netns, const ValueOf& here) {
    std::vector<NamedInVain> found;
    for (const policy::Expectation& each : policy.expect) {
        const auto rows = tunables::without_effect();
        const auto row = std::ranges::find(rows, each.path, &tunables::WithoutEffect::path);
        if (row == rows.end()) continue;
        if (!row->in_new_netns || in_new_netns(row->path) == row->in_new_netns)
            found.push_back({each.name, std::string(row->why)});
    }
    for (const tunables::Tunable& row : tunables::catalog()) {
        if (is_named_number(policy, row) && in_new_netns(everywhere) && !in_new_netns(row.path))
            found.push_back({std::string(row.name), "this kernel has no such sysctl"});
        if (!has_own_bounds(policy, row)) continue;
        if (auto why = why_it_bounds_nothing(row, in_new_netns, here))
            found.push_back({std::string(row.name), std::move(*why)});
    }
    return found;
}

std::string sentence(const NamedInVain& named) {
    return fmt::format("{} does nothing here: {}", named.name, named.why);
}

} // namespace bpftune::service

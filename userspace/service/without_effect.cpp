// SPDX-License-Identifier: Apache-2.0
#include "service/without_effect.hpp"

#include <algorithm>
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

} // namespace

// /proc/sys/net follows the thread.
std::optional<std::uint64_t> value_in_new_netns(std::string_view sysctl) {
    std::optional<std::uint64_t> value;
    std::thread([&] {
        if (::unshare(CLONE_NEWNET) != 0) return;
        const auto number = sys::read_number("/proc/sys/" + std::string(sysctl));
        if (number) value = *number;
    }).join();
    return value;
}

std::vector<NamedInVain>
named_in_vain(const policy::Policy& policy,
              const std::function<std::optional<std::uint64_t>(std::string_view)>& in_new_netns) {
    std::vector<NamedInVain> found;
    for (const policy::Expectation& each : policy.expect) {
        const auto rows = tunables::without_effect();
        const auto row = std::ranges::find(rows, each.path, &tunables::WithoutEffect::path);
        if (row == rows.end()) continue;
        if (!row->in_new_netns || in_new_netns(row->path) == row->in_new_netns)
            found.push_back({each.name, std::string(row->why)});
    }
    for (const tunables::Tunable& row : tunables::catalog()) {
        if (!is_named_number(policy, row) || !in_new_netns(everywhere) || in_new_netns(row.path)) continue;
        found.push_back({std::string(row.name), "this kernel has no such sysctl"});
    }
    return found;
}

std::string sentence(const NamedInVain& named) {
    return fmt::format("{} does nothing here: {}", named.name, named.why);
}

} // namespace bpftune::service

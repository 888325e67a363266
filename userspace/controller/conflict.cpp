// SPDX-License-Identifier: Apache-2.0
#include "controller/conflict.hpp"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "controller/step.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

// Where BPF knows no cookie (before 5.12) the inode number has to do: the write is a moment old.
bool is_same(const NetnsId& a, const NetnsId& b) {
    return a.inode == b.inode && (a.cookie == b.cookie || a.cookie == 0 || b.cookie == 0);
}

bool is_about(const NetnsId& netns, std::string_view sysctl, const ObjectKey& object) {
    const auto& row = tunables::row(object.tunable);
    return !sysctl.empty() && (sysctl == row.path || sysctl == row.alias) && is_same(netns, object.netns);
}

// Whether this write would make the value what was found.
bool explains(const SysctlWrite& write, const ObjectKey& object, const Held& held, std::uint64_t found) {
    return write.time > held.written && is_about(write.netns, write.sysctl, object) && write.value &&
           *write.value <= found && found - *write.value < tunables::row(object.tunable).granule;
}

} // namespace

std::string who_set(const Snapshot& snapshot, const ObjectKey& object, const Held& held, std::uint64_t found) {
    const auto newest_first = std::views::reverse(snapshot.sysctl_writes);
    const auto write = std::ranges::find_if(
        newest_first, [&](const SysctlWrite& each) { return explains(each, object, held, found); });
    if (write == newest_first.end()) return fmt::format("someone else set it to {}", found);
    return fmt::format("{} (pid {}) set it to {}", write->command, write->pid, found);
}

bool stays_ours(Gate& gate, const Snapshot& snapshot, const ObjectKey& object, std::uint64_t found) {
    const Held& held = *gate.held(object);
    const std::string who = who_set(snapshot, object, held, found);
    const auto put_back = gate.put_back(object, found, who);
    if (put_back) return true;
    gate.add({.act = Decision::Act::yield,
              .tunable = object.tunable,
              .scope = held.scope,
              .from = held.current,
              .to = found,
              .why = who + put_back.error()});
    return false;
}

bool holds(const State& state, const NetnsId& netns, std::string_view sysctl) {
    return std::ranges::any_of(state.held, [&](const auto& entry) { return is_about(netns, sysctl, entry.first); });
}

} // namespace bpftune::controller

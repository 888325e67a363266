// SPDX-License-Identifier: Apache-2.0
#include "controller/conflict.hpp"

#include <algorithm>
#include <ranges>

#include <fmt/format.h>

#include "controller/resource.hpp"
#include "controller/step.hpp"
#include "core/words.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::controller {
bool is_same_netns(const NetnsId& a, const NetnsId& b) {
    return a.inode == b.inode && (a.cookie == b.cookie || a.cookie == 0 || b.cookie == 0);
}

std::string name_of(const SysctlWrite& write) { return fmt::format("{} (pid {})", write.command, write.pid); }

namespace {

bool is_about(const NetnsId& netns, std::string_view sysctl, const ObjectKey& object) {
    const auto& row = tunables::row(object.tunable);
    return !sysctl.empty() && (sysctl == row.path || sysctl == row.alias) && is_same_netns(netns, object.netns);
}

// Whether this write would make the value what was found.
bool explains(const SysctlWrite& write, const ObjectKey& object, std::uint64_t found) {
    const auto& row = tunables::row(object.tunable);
    const auto value = tunables::value_in(row, write);
    return is_about(write.netns, write.sysctl, object) && value && *value <= found && found - *value < row.granule;
}

// The newest write after `since` that explains it.
const SysctlWrite* find_write(const Snapshot& snapshot, const ObjectKey& object, std::uint64_t found, MonoTime since) {
    for (const SysctlWrite& write : std::views::reverse(snapshot.sysctl_writes))
        if (write.time > since && explains(write, object, found)) return &write;
    return nullptr;
}

} // namespace

std::string who_set(const Snapshot& snapshot, const ObjectKey& object, const Held& held, std::uint64_t found) {
    const SysctlWrite* write = find_write(snapshot, object, found, held.written);
    return fmt::format("{} set it to {}", write != nullptr ? name_of(*write) : "someone else",
                       tunables::text_of(object.tunable, found));
}

std::optional<std::string> who_had_set(const Snapshot& snapshot, const ObjectKey& object, std::uint64_t value) {
    const SysctlWrite* write = find_write(snapshot, object, value, {});
    return write != nullptr ? std::optional(name_of(*write)) : std::nullopt;
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

void release_sockets(Gate& gate) {
    State& state = gate.state();
    for (auto entry = state.held.begin(); entry != state.held.end();) {
        const auto& [object, held] = *entry;
        const Reading* reading = is_of_socket(object.tunable) ? gate.readings().find(object) : nullptr;
        if (reading == nullptr || reading->read <= held.since || reading->value == held.current) {
            ++entry;
            continue;
        }
        end_trial(gate, {.object = object}, "its application set it anew");
        leave_trial(gate, object);
        gate.add({.act = Decision::Act::release,
                  .tunable = object.tunable,
                  .scope = held.scope,
                  .from = held.current,
                  .to = *reading->value,
                  .why = set_anew(object.tunable, fmt::to_string(*reading->value))});
        forget_demand(state, object, Forget::all);
        entry = state.held.erase(entry);
    }
}

bool holds(const State& state, const NetnsId& netns, std::string_view sysctl) {
    return std::ranges::any_of(state.held, [&](const auto& entry) { return is_about(netns, sysctl, entry.first); });
}

} // namespace bpftune::controller

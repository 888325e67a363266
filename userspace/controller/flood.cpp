// SPDX-License-Identifier: Apache-2.0
#include "controller/flood.hpp"

#include <algorithm>
#include <bit>

#include "controller/invariants.hpp"
#include "controller/trial.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {

void note_flood(State& state, const Flooded& flooded, const std::optional<std::string>& evidence, MonoTime now) {
    if (!evidence) return;
    const auto& [demand, object, limit, once] = flooded;
    const auto [entry, is_new] = state.floods.try_emplace(demand);
    Flood& flood = entry->second;
    if (is_new || now > flood.last_seen + flood_memory) {
        // A raise that is on trial may already be the flood's.
        const Trial* trial = trial_with(state, object);
        flood = {.limit = trial != nullptr ? trial->values.at(object) : limit, .once = once};
    }
    flood.limit = std::min(flood.limit, limit); // someone lowered it
    if (now > flood.last_seen + flood_calm) flood.since = now;
    flood.last_seen = now;
    flood.evidence = *evidence;
}

const Flood* flood_at(const State& state, const ObjectKey& demand, MonoTime now) {
    const auto found = state.floods.find(demand);
    return found == state.floods.end() || now > found->second.last_seen + flood_calm ? nullptr : &found->second;
}

std::uint64_t next_step(std::uint64_t limit) {
    return std::bit_ceil(limit + std::max<std::uint64_t>(1, (limit + 3) / 4));
}

std::uint64_t most_in_flood(const Flood& flood) {
    if (!flood.once) return flood.limit * flood_growth;
    return flood.raised ? 0 : next_step(flood.limit);
}

void raise_in_flood(State& state, const ObjectKey& demand, TunableId tunable, MonoTime now) {
    const auto found = state.floods.find(demand);
    if (found == state.floods.end()) return;
    if (flood_at(state, demand, now) == nullptr) {
        state.floods.erase(found); // this raise is not the flood's: the next one is counted from here
    } else if (!tunables::row(tunable).follows) {
        found->second.raised = true;
    }
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/flood.hpp"

#include <algorithm>
#include <bit>

#include "controller/invariants.hpp"
#include "controller/trial.hpp"

namespace bpftune::controller {

void note_flood(State& state, const TrialKey& demand, const ObjectKey& object, std::uint64_t limit,
                const std::optional<std::string>& evidence, MonoTime now) {
    if (!evidence) return;
    const auto [entry, is_new] = state.floods.try_emplace(demand);
    Flood& flood = entry->second;
    if (is_new || now > flood.last_seen + flood_memory) {
        // A raise that is on trial may already be the flood's.
        const Trial* trial = trial_with(state, object);
        flood = {.limit = trial != nullptr ? trial->values.at(object) : limit};
    }
    flood.limit = std::min(flood.limit, limit); // someone lowered it
    if (now > flood.last_seen + flood_calm) flood.since = now;
    flood.last_seen = now;
    flood.evidence = *evidence;
}

const Flood* flood_at(const State& state, const TrialKey& demand, MonoTime now) {
    const auto found = state.floods.find(demand);
    return found == state.floods.end() || now > found->second.last_seen + flood_calm ? nullptr : &found->second;
}

std::uint64_t next_step(std::uint64_t limit) {
    return std::bit_ceil(limit + std::max<std::uint64_t>(1, (limit + 3) / 4));
}

std::uint64_t most_in_flood(TrialKey::Kind kind, const Flood& flood) {
    if (kind == TrialKey::Kind::accept_queue) return flood.limit * flood_growth;
    return flood.raised ? 0 : next_step(flood.limit);
}

void raise_in_flood(State& state, const TrialKey& demand, TunableId tunable, MonoTime now) {
    const auto found = state.floods.find(demand);
    if (found == state.floods.end()) return;
    if (flood_at(state, demand, now) == nullptr) {
        state.floods.erase(found); // this raise is not the flood's: the next one is counted from here
    } else if (tunable == TunableId::conntrack_max) {
        found->second.raised = true;
    }
}

} // namespace bpftune::controller

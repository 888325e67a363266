// SPDX-License-Identifier: Apache-2.0
// A flood is no demand: how far one is followed. What speaks for one comes with the snapshot (signals/flood.hpp).
//
//   accept queue       8 x the limit that it had when the flood began
//   nf_conntrack_max   one raise, to the next power of two (Flooded::once)
//
// A flood lasts until it was not seen for `flood_calm`. One that comes back within `flood_memory` is the same one and
// is counted from the same limit, unless a demand of the calm in between raised it: else each pulse would get a step.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/state.hpp"

namespace bpftune::controller {

struct Flooded {
    ObjectKey demand; // what is flooded
    ObjectKey object; // whose limit it has
    std::uint64_t limit = 0;
    bool once = false; // a flood of it gets one raise, not flood_growth
};

// What a snapshot says of it.
void note_flood(State& state, const Flooded& flooded, const std::optional<std::string>& evidence, MonoTime now);

// The one that lasts, or nullptr.
const Flood* flood_at(const State& state, const ObjectKey& demand, MonoTime now);

// As far as a limit may be raised for it.
std::uint64_t most_in_flood(const Flood& flood);

// The next power of two that is a quarter more at the least.
std::uint64_t next_step(std::uint64_t limit);

// A raise is about to be made for `demand`.
void raise_in_flood(State& state, const ObjectKey& demand, TunableId tunable, MonoTime now);

} // namespace bpftune::controller

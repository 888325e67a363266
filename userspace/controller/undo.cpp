// SPDX-License-Identifier: Apache-2.0
#include "controller/undo.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/words.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

struct Waiting {
    ObjectKey object;
    const Held* held;
};

// Of those that `object` bounds and that are on their way back, the one with the largest value.
std::optional<Waiting> largest_waiting(const Gate& gate, const ObjectKey& object) {
    std::optional<Waiting> largest;
    for (const auto& [bounded, held] : gate.held_bounded_by(object))
        if (held.undo && (!largest || held.current > largest->held->current)) largest = {bounded, &held};
    return largest;
}

std::optional<std::uint64_t> in_use_now(const Gate& gate, const ObjectKey& object) {
    const Reading* reading = gate.readings().find(object);
    return reading != nullptr ? reading->in_use : std::nullopt;
}

// Where `leader` is to go; nullopt: it stays.
std::optional<std::uint64_t> destination_of(const Gate& gate, const ObjectKey& leader) {
    const Held* held = gate.held(leader);
    if (held == nullptr) return std::nullopt;
    if (held->undo) return held->undo->value;
    const Trial* trial = trial_with(gate, leader);
    return trial != nullptr && !trial->verdict.empty() ? std::optional(trial->values.at(leader)) : std::nullopt;
}

// How far it may go; `held.current`: not at all for now.
std::uint64_t next_step(const Gate& gate, const ObjectKey& object, const Held& held, std::uint64_t in_use) {
    if (const auto leader = Gate::leader_of(object)) {
        const Held* leading = gate.held(*leader);
        if (leading != nullptr && leading->undo) return held.current;
    }
    const std::uint64_t to = tunables::way_back(object.tunable, held.current, held.undo->value, in_use);
    const auto bounded = largest_waiting(gate, object);
    return bounded ? std::clamp(bounded->held->current, to, std::max(to, held.current)) : to;
}

} // namespace

std::string reason_to_wait(const Gate& gate, const ObjectKey& object, std::uint64_t value) {
    if (const auto bounded = largest_waiting(gate, object); bounded && bounded->held->current > value) {
        const auto& [other, held] = *bounded;
        return fmt::format("{} stays at {} for now",
                           object_text(other.tunable, tunables::row(other.tunable).name, held->scope),
                           tunables::text_of(other.tunable, held->current));
    }
    const auto in_use = in_use_now(gate, object);
    if (!in_use) return "what is in use is not known";
    TunableId user = object.tunable;
    if (const auto leader = Gate::leader_of(object)) { // it waits for that one
        const auto destination = destination_of(gate, *leader);
        if (!destination) return {};
        user = leader->tunable;
        value = *destination;
    }
    if (tunables::means_no_limit(user, value) || tunables::room_for(user, *in_use) <= value) return {};
    return fmt::format("{} are in use", *in_use);
}

void undo_rule(Gate& gate) {
    for (auto& [object, held] : gate.state().held) {
        if (!held.undo) continue;
        const auto in_use = in_use_now(gate, object);
        if (!in_use) continue;
        const std::uint64_t to = next_step(gate, object, held, *in_use);
        if (to >= held.current && to != held.undo->value) continue;
        gate.step_back(object, to,
                       fmt::format("rolled back as far as what is in use lets it ({}): {}", *in_use, held.undo->why),
                       {{"in_use", *in_use}, {"limit", held.current}});
    }
}

} // namespace bpftune::controller

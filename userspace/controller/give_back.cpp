// SPDX-License-Identifier: Apache-2.0
#include "controller/give_back.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "core/parse.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

// As much as keeps it as it was to what it follows. Where that is someone else's by now: all.
std::uint64_t following(const Gate& gate, const ObjectKey& leader, const ObjectKey& object, const Held& held) {
    if (gate.state().yielded.contains(leader)) return held.current;
    const Held* leading = gate.held(leader);
    if (leading == nullptr || leading->current == leading->original) return held.original;
    return std::bit_ceil(tunables::following(object.tunable, leading->current, leading->original, held.original));
}

// What is ours and has to go first keeps it above this.
std::uint64_t bound_by_others(const Gate& gate, const ObjectKey& object, const Held& held) {
    std::uint64_t least = 0;
    for (const auto& [bounded, other] : gate.held_bounded_by(object)) {
        if (other.since == gate.now()) return held.current; // lowered in this step: that may fail
        least = std::max(least, other.current);
    }
    if (const auto leader = Gate::leader_of(object)) least = std::max(least, following(gate, *leader, object, held));
    return least;
}

std::string reason(const ObjectKey& object, const Held& held, Nanoseconds calm) {
    return fmt::format("given back: at most {} of {} in use for {}", held.calm.used,
                       tunables::text_of(object.tunable, held.current), duration_text(calm));
}

void give_back(Gate& gate, const ObjectKey& object, Held& held) {
    if (!tunables::row(object.tunable).use_is_seen) return;
    const auto shrink_after = gate.shrink_after(object);
    if (held.undo || !shrink_after || gate.now() < held.calm.since + *shrink_after) return;
    const std::uint64_t needed =
        std::max({held.calm.wanted, held.original, gate.bounds_of(object).min.value_or(0), held.current / 2});
    if (needed >= held.current) {
        held.calm = {.since = gate.now()};
        return;
    }
    const std::uint64_t least = std::max(needed, bound_by_others(gate, object, held));
    if (least >= held.current) return; // the others' turn
    std::vector<Evidence> evidence{{"use_peak", held.calm.used}, {"limit", held.current}};
    if (gate.give_back(object, least, reason(object, held, *shrink_after), std::move(evidence)))
        held.calm = {.since = gate.now()};
}

// Those who were gone for a while are charged no more. That the last one is gone is for a calm to tell.
void release_gone(Held& held, std::uint64_t there, MonoTime now) {
    Fewer& fewer = held.fewer;
    if (there >= held.expected.size()) {
        fewer = {.since = now};
        return;
    }
    if (fewer.since < held.since) fewer = {.since = held.since};
    fewer.most = std::max(fewer.most, there);
    if (now < fewer.since + release_after) return;
    const std::uint64_t left = std::max<std::uint64_t>(fewer.most, 1);
    if (left < held.expected.size()) held.expected.resize(left);
    fewer = {.since = now};
}

} // namespace

void watch_use(Gate& gate) {
    for (auto& [object, held] : gate.state().held) {
        Calm& calm = held.calm;
        if (calm.since < held.since) calm = {.since = held.since}; // raised, or adopted, since
        const Reading* reading = gate.readings().find(object);
        if (reading == nullptr || !reading->use) continue;
        const Use& use = *reading->use;
        if (use.pressed) {
            calm = {.since = gate.now()};
            continue;
        }
        calm.used = std::max(calm.used, use.used);
        calm.wanted = std::max(calm.wanted, use.wanted);
    }
}

void give_back_rule(Gate& gate) {
    for (auto& [object, held] : gate.state().held) give_back(gate, object, held);
}

void release_rule(Gate& gate) {
    for (auto& [object, held] : gate.state().held) {
        const Reading* reading = gate.readings().find(object);
        if (reading == nullptr || !reading->use || trial_with(gate, object) != nullptr) continue;
        if (reading->charged_at_most) release_gone(held, *reading->charged_at_most, gate.now());
        if (gate.now() < held.calm.since + release_after) continue;
        const std::uint64_t needed = std::max(held.calm.used, held.calm.wanted);
        for (std::uint64_t& expected : held.expected) expected = std::min(expected, needed);
    }
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/give_back.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "controller/accept_queue.hpp"
#include "controller/conntrack.hpp"
#include "core/parse.hpp"

namespace bpftune::controller {
namespace {

// Of the listeners that this object bounds; nullopt: none was looked at.
std::optional<Use> use_of_queues(const ObjectKey& object, const Snapshot& snapshot) {
    std::optional<Use> all;
    for (const Listener& listener : snapshot.listeners) {
        const bool bounded = object.tunable == TunableId::somaxconn ? listener.netns == object.netns
                                                                    : listener.cookie == object.listener_cookie;
        if (!bounded || listener.window.length == Nanoseconds{}) continue;
        const Use use = use_of(listener);
        if (!all) all.emplace();
        all->used = std::max(all->used, use.used);
        all->wanted = std::max(all->wanted, use.wanted);
        all->pressed |= use.pressed;
    }
    return all;
}

// Tables are seen at ticks only. One that cannot be read may be filling: that is no calm.
std::optional<Use> use_of_all_tables(const ObjectKey& object, const Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    if (snapshot.cause != Snapshot::Cause::tick) return std::nullopt;
    if (snapshot.conntrack.empty()) return Use{.pressed = true};
    return object.tunable == TunableId::conntrack_buckets ? use_of_buckets(gate) : use_of_tables(gate);
}

std::optional<Use> use_of(const ObjectKey& object, const Gate& gate) {
    const bool queue = object.tunable == TunableId::somaxconn || object.tunable == TunableId::listener_backlog;
    return queue ? use_of_queues(object, gate.snapshot()) : use_of_all_tables(object, gate);
}

std::uint64_t longest_queue_of_ours(const State& state, const NetnsId& netns) {
    std::uint64_t longest = 0;
    for (const auto& [object, held] : state.held)
        if (object.tunable == TunableId::listener_backlog && object.netns == netns)
            longest = std::max(longest, held.current);
    return longest;
}

// As many as keep chains as long as they were before we raised anything. Where the limit is someone else's by now: all.
std::uint64_t buckets_for_limit(const Gate& gate, const ObjectKey& limit, const Held& buckets) {
    if (gate.state().yielded.contains(limit)) return buckets.current;
    const Held* held = gate.held(limit);
    if (held == nullptr || held->current == held->original) return buckets.original;
    const std::uint64_t chain =
        std::max<std::uint64_t>(1, held->original / std::max<std::uint64_t>(1, buckets.original));
    return std::bit_ceil(held->current / chain);
}

// What is ours and has to go first keeps it above this.
std::uint64_t bound_by_others(const Gate& gate, const ObjectKey& object, const Held& held) {
    if (object.tunable == TunableId::somaxconn) return longest_queue_of_ours(gate.state(), object.netns);
    if (object.tunable == TunableId::conntrack_buckets)
        return buckets_for_limit(gate, {TunableId::conntrack_max, object.netns}, held);
    return 0;
}

std::string reason(const Held& held, Nanoseconds calm) {
    return fmt::format("given back: at most {} of {} in use for {}", held.calm.used, held.current, duration_text(calm));
}

void give_back(Gate& gate, const ObjectKey& object, Held& held) {
    const auto shrink_after = gate.shrink_after(object);
    if (held.undo || !shrink_after || gate.now() < held.calm.since + *shrink_after) return;
    const std::uint64_t needed =
        std::max({held.calm.wanted, held.original, gate.bounds_of(object.tunable, object.netns).min.value_or(0),
                  held.current / 2});
    if (needed >= held.current) {
        held.calm = {.since = gate.now()};
        return;
    }
    const std::uint64_t least = std::max(needed, bound_by_others(gate, object, held));
    if (least >= held.current) return; // the others' turn
    std::vector<Evidence> evidence{{"use_peak", held.calm.used}, {"limit", held.current}};
    if (gate.give_back(object, least, reason(held, *shrink_after), std::move(evidence)))
        held.calm = {.since = gate.now()};
}

} // namespace

void watch_use(Gate& gate) {
    for (auto& [object, held] : gate.state().held) {
        Calm& calm = held.calm;
        if (calm.since < held.since) calm = {.since = held.since}; // raised, or adopted, since
        const auto use = use_of(object, gate);
        if (!use) continue;
        if (use->pressed) {
            calm = {.since = gate.now()};
            continue;
        }
        calm.used = std::max(calm.used, use->used);
        calm.wanted = std::max(calm.wanted, use->wanted);
    }
}

void give_back_rule(Gate& gate) {
    for (auto& [object, held] : gate.state().held) give_back(gate, object, held);
}

} // namespace bpftune::controller

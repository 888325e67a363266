// SPDX-License-Identifier: Apache-2.0
#include "controller/step.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "controller/accept_queue.hpp"
#include "controller/conntrack.hpp"
#include "controller/gate.hpp"

namespace bpftune::controller {
namespace {

// A change is kept when no loss was seen at its object for this long.
constexpr Nanoseconds trial = std::chrono::seconds(10);

const Listener* listener_of(const Snapshot& snapshot, std::uint64_t cookie) {
    const auto found = std::ranges::find(snapshot.listeners, cookie, &Listener::cookie);
    return found == snapshot.listeners.end() ? nullptr : &*found;
}

// What a snapshot says of one object: nothing where it was not read after `since`.
struct Observed {
    bool present = true; // false: the object is no longer there
    std::optional<std::uint64_t> value;
    std::uint64_t losses = 0; // in the last interval
};

Observed observe_listener(const Snapshot& snapshot, std::uint64_t cookie, MonoTime since) {
    const Listener* listener = listener_of(snapshot, cookie);
    if (listener == nullptr) return {.present = false};
    Observed observed{.losses = listener->window.overflows};
    if (listener->read > since) observed.value = listener->limit;
    return observed;
}

Observed observe_somaxconn(const Snapshot& snapshot, const NetnsId& netns, MonoTime since) {
    const auto tcp = std::ranges::find(snapshot.tcp, netns, &NetnsTcp::netns);
    if (tcp == snapshot.tcp.end()) return {.present = false};
    Observed observed;
    if (snapshot.time.mono > since) observed.value = tcp->somaxconn;
    for (const Listener& listener : snapshot.listeners)
        if (listener.netns == netns) observed.losses += listener.window.overflows;
    return observed;
}

Observed observe_conntrack(const Snapshot& snapshot, TunableId tunable, MonoTime since) {
    Observed observed;
    for (const Conntrack& table : snapshot.conntrack) {
        if (snapshot.time.mono > since)
            observed.value = tunable == TunableId::conntrack_max ? table.limit : table.buckets;
        observed.losses += table.window_drops;
    }
    return observed;
}

Observed observe(const Snapshot& snapshot, const ObjectKey& key, MonoTime since) {
    switch (key.tunable) {
    case TunableId::somaxconn: return observe_somaxconn(snapshot, key.netns, since);
    case TunableId::listener_backlog: return observe_listener(snapshot, key.listener_cookie, since);
    case TunableId::conntrack_max:
    case TunableId::conntrack_buckets: return observe_conntrack(snapshot, key.tunable, since);
    }
    return {};
}

Decision about(Decision::Act act, const ObjectKey& key, const Held& held, std::uint64_t to) {
    return {.act = act, .tunable = key.tunable, .scope = held.scope, .from = held.current, .to = to};
}

// Looks after what we hold: forgets what is gone, yields what someone else set, ends trials.
void tend(Gate& gate, const Snapshot& snapshot) {
    State& state = gate.state();
    for (auto entry = state.held.begin(); entry != state.held.end();) {
        const ObjectKey& key = entry->first;
        Held& held = entry->second;
        const Observed observed = observe(snapshot, key, held.since);
        if (!observed.present) {
            gate.add(about(Decision::Act::forget, key, held, held.current));
            entry = state.held.erase(entry);
            continue;
        }
        if (observed.value && *observed.value != held.current) {
            gate.add(about(Decision::Act::yield, key, held, *observed.value));
            state.yielded.insert(key);
            entry = state.held.erase(entry);
            continue;
        }
        if (observed.losses > 0) held.clean_since = snapshot.time.mono;
        if (held.on_trial && gate.now() >= held.clean_since + trial) {
            held.on_trial = false;
            gate.add(about(Decision::Act::keep, key, held, held.current));
        }
        ++entry;
    }
}

// A value below the policy's min is reason enough. `ceiling`: what the kernel would let through.
void raise_to_min(Gate& gate, TunableId tunable, const Scope& scope, std::uint64_t value,
                  std::uint64_t ceiling = std::numeric_limits<std::uint64_t>::max()) {
    const auto& min = gate.policy().of(tunable).min;
    if (!min || value >= *min) return;
    gate.raise({
        .tunable = tunable,
        .scope = scope,
        .from = value,
        .to = std::min(*min, ceiling),
        .why = fmt::format("{} is below the policy's min, {}", value, *min),
    });
}

void minimum_rule(Gate& gate, const Snapshot& snapshot) {
    for (const NetnsTcp& tcp : snapshot.tcp)
        if (tcp.somaxconn) raise_to_min(gate, TunableId::somaxconn, {tcp.netns, tcp.pid, {}, tcp.pod}, *tcp.somaxconn);
    for (const Listener& listener : snapshot.listeners)
        if (listener.somaxconn)
            raise_to_min(gate, TunableId::listener_backlog, scope_of(listener), listener.limit, *listener.somaxconn);
    if (snapshot.conntrack.empty()) return;
    const Conntrack& table = snapshot.conntrack.front();
    raise_to_min(gate, TunableId::conntrack_max, {.netns = snapshot.host}, table.limit);
    raise_to_min(gate, TunableId::conntrack_buckets, {.netns = snapshot.host}, table.buckets);
}

void forget_gone(State& state, const Snapshot& snapshot) {
    const auto gone = [&](const ObjectKey& key) { return !observe(snapshot, key, {}).present; };
    std::erase_if(state.queues, [&](const auto& entry) { return listener_of(snapshot, entry.first) == nullptr; });
    std::erase_if(state.said, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.retry_after, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.yielded, gone);
}

} // namespace

std::vector<Decision> step(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now) {
    Gate gate(policy, state, snapshot.memory_bytes, now);
    const bool tick = snapshot.cause == Snapshot::Cause::tick;
    if (tick) {
        tend(gate, snapshot);
        minimum_rule(gate, snapshot);
    }
    accept_queue_rule(gate, snapshot);
    conntrack_rule(gate, snapshot);
    if (tick) forget_gone(state, snapshot);
    return gate.take();
}

void settle(State& state, const Decision& decision, const Outcome& outcome, MonoTime now) {
    const ObjectKey key = key_of(decision.tunable, decision.scope);
    const auto held = state.held.find(key);
    if (held == state.held.end()) return;
    if (outcome.kind == Outcome::Kind::written) {
        held->second.since = held->second.clean_since = now;
        return;
    }
    // Back to what is true: the value is what it was, and if that was not ours, we hold nothing.
    if (outcome.kind == Outcome::Kind::failed && held->second.original != decision.from) {
        held->second.current = decision.from;
    } else {
        state.held.erase(held);
    }
    if (outcome.kind == Outcome::Kind::failed) state.retry_after[key] = now + Gate::retry;
    if (outcome.kind == Outcome::Kind::conflict) state.retry_after[key] = now + Gate::look_again;
}

void adopt(State& state, TunableId tunable, const Scope& scope, std::uint64_t original, std::uint64_t current,
           MonoTime now) {
    state.held[key_of(tunable, scope)] = {
        .scope = scope, .original = original, .current = current, .since = now, .on_trial = true, .clean_since = now};
}

void reloaded(State& state) {
    state.yielded.clear();
    state.said.clear();
    state.retry_after.clear();
}

} // namespace bpftune::controller

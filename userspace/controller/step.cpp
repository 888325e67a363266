// SPDX-License-Identifier: Apache-2.0
#include "controller/step.hpp"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "controller/accept_queue.hpp"
#include "controller/conflict.hpp"
#include "controller/conntrack.hpp"
#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "controller/give_back.hpp"
#include "controller/undo.hpp"

namespace bpftune::controller {
namespace {

const Listener* listener_of(const Snapshot& snapshot, std::uint64_t cookie) {
    const auto found = std::ranges::find(snapshot.listeners, cookie, &Listener::cookie);
    return found == snapshot.listeners.end() ? nullptr : &*found;
}

// What a snapshot says of one object: nothing where it was not read after `since`.
struct Observed {
    bool present = true; // false: the object is no longer there
    std::optional<std::uint64_t> value;
};

Observed observe_listener(const Snapshot& snapshot, std::uint64_t cookie, MonoTime since) {
    const Listener* listener = listener_of(snapshot, cookie);
    if (listener == nullptr) return {.present = false};
    Observed observed;
    if (listener->read > since) observed.value = listener->limit;
    return observed;
}

Observed observe_somaxconn(const Snapshot& snapshot, const NetnsId& netns, MonoTime since) {
    const auto tcp = std::ranges::find(snapshot.tcp, netns, &NetnsTcp::netns);
    if (tcp == snapshot.tcp.end()) return {.present = false};
    Observed observed;
    if (snapshot.time.mono > since) observed.value = tcp->somaxconn;
    return observed;
}

Observed observe_conntrack(const Snapshot& snapshot, TunableId tunable, MonoTime since) {
    Observed observed;
    if (snapshot.conntrack.empty() || snapshot.time.mono <= since) return observed;
    const Conntrack& table = snapshot.conntrack.front(); // both are the node's
    if (tunable == TunableId::conntrack_max) observed.value = table.limit;
    if (tunable == TunableId::conntrack_buckets && table.buckets > 0) observed.value = table.buckets;
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

// Looks after what we hold: forgets what is gone, yields or puts back what someone else set.
void tend(Gate& gate, const Snapshot& snapshot) {
    State& state = gate.state();
    for (auto entry = state.held.begin(); entry != state.held.end();) {
        const auto& [key, held] = *entry;
        const Observed observed = observe(snapshot, key, held.since);
        const bool is_foreign = observed.value && *observed.value != held.current;
        if (observed.present && (!is_foreign || stays_ours(gate, snapshot, key, *observed.value))) {
            ++entry;
            continue;
        }
        if (observed.present)
            state.yielded.insert(key);
        else
            gate.add({.act = Decision::Act::forget,
                      .tunable = key.tunable,
                      .scope = held.scope,
                      .from = held.current,
                      .to = held.current});
        leave_trial(state, key);
        entry = state.held.erase(entry);
    }
}

// A value below the policy's min is reason enough. `ceiling`: what the kernel would let through.
void raise_to_min(Gate& gate, TunableId tunable, const Scope& scope, std::uint64_t value,
                  std::uint64_t ceiling = std::numeric_limits<std::uint64_t>::max()) {
    const auto min = gate.bounds_of(tunable, scope.netns).min;
    if (!min || value >= *min || means_no_limit(tunable, value)) return;
    gate.raise({
        .tunable = tunable,
        .scope = scope,
        .from = value,
        .to = std::min(*min, ceiling),
        .why = fmt::format("{} is below the policy's min, {}", value, *min),
        .expected = {std::min(*min, ceiling)}, // the policy's word is all that is known
        .reason = {.trial = {TrialKey::Kind::minimum, scope.netns, scope.listener ? scope.listener->cookie : 0},
                   .cause = Cause::minimum},
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
    if (table.buckets > 0) raise_to_min(gate, TunableId::conntrack_buckets, {.netns = snapshot.host}, table.buckets);
}

void forget_gone(State& state, const Snapshot& snapshot) {
    // What is said of one table is kept by its namespace, though the limit is the node's.
    const auto gone = [&](const ObjectKey& key) {
        if (key.tunable == TunableId::conntrack_max && key.netns != snapshot.host)
            return std::ranges::find(snapshot.conntrack, key.netns, &Conntrack::netns) == snapshot.conntrack.end();
        return !observe(snapshot, key, {}).present;
    };
    std::erase_if(state.queues, [&](const auto& entry) { return listener_of(snapshot, entry.first) == nullptr; });
    std::erase_if(state.said, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.retry_after, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.changes, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.reasserts, [&](const auto& entry) { return gone(entry.first); });
    std::erase_if(state.back_offs, [&](const auto& entry) {
        const std::uint64_t cookie = entry.first.listener_cookie;
        return cookie != 0 && listener_of(snapshot, cookie) == nullptr;
    });
    std::erase_if(state.floods, [&](const auto& entry) {
        const TrialKey& key = entry.first;
        if (key.kind == TrialKey::Kind::accept_queue) return listener_of(snapshot, key.listener_cookie) == nullptr;
        return std::ranges::find(snapshot.conntrack, key.netns, &Conntrack::netns) == snapshot.conntrack.end();
    });
    std::erase_if(state.yielded, gone);
}

} // namespace

std::vector<Decision> step(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now) {
    Gate gate(policy, state, snapshot, now);
    const bool tick = snapshot.cause == Snapshot::Cause::tick;
    release_listeners(gate, snapshot);
    if (tick) {
        tend(gate, snapshot);
        note_use(state, snapshot);
        judge_trials(gate, snapshot);
        minimum_rule(gate, snapshot);
    }
    watch_use(gate);
    accept_queue_rule(gate, snapshot);
    conntrack_rule(gate, snapshot);
    if (tick) {
        undo_rule(gate);
        give_back_rule(gate);
        forget_gone(state, snapshot);
    }
    return gate.take();
}

namespace {

// A write that was made: its effect begins now.
// Until an answer: whatever is read of the object by then is older than what it has.
constexpr Nanoseconds longest_wait = std::chrono::hours(24 * 365);

void settle_written(State& state, const ObjectKey& key, Held& held, MonoTime now) {
    held.since = held.written = now;
    begin_window(state, key, now);
}

void settle_lowered(State& state, const ObjectKey& key, MonoTime now) {
    leave_trial(state, key);
    const auto held = state.held.find(key);
    held->second.since = held->second.written = now;
    if (const auto queue = state.queues.find(key.listener_cookie); queue != state.queues.end())
        queue->second.sized = false; // what it was sized for is no more
    if (held->second.undo && held->second.current == held->second.undo->value) held->second.undo.reset();
    if (held->second.current == held->second.original) state.held.erase(held);
}

// Back to what is true: the value is what it was, and if that was not ours, we hold nothing. Where it has become
// another one meanwhile, the next tick finds out.
void settle_not_written(State& state, const Decision& decision, const ObjectKey& key) {
    if (decision.act == Decision::Act::reassert) return; // the same
    Held& held = state.held.at(key);
    held.current = decision.from;
    if (decision.act != Decision::Act::write) return; // tried again
    const bool as_before = std::ranges::any_of(state.trials, [&](const auto& entry) {
        const auto value = entry.second.values.find(key);
        return value != entry.second.values.end() && value->second == decision.from;
    });
    if (as_before) leave_trial(state, key);
    if (held.original == decision.from) state.held.erase(key);
}

} // namespace

void settle(State& state, const Decision& decision, const Outcome& outcome, MonoTime now) {
    const ObjectKey key = key_of(decision.tunable, decision.scope);
    const auto held = state.held.find(key);
    if (held == state.held.end()) { // what it built on, in the same step, failed
        leave_trial(state, key);
        return;
    }
    held->second.since = std::min(held->second.since, now); // no answer is waited for any more
    end_wait(state, key, now);
    const bool lowers = decision.act == Decision::Act::roll_back || decision.act == Decision::Act::give_back;
    if (outcome.kind == Outcome::Kind::written && lowers) return settle_lowered(state, key, now);
    if (outcome.kind == Outcome::Kind::written) return settle_written(state, key, held->second, now);

    if (auto& changes = state.changes[key]; !changes.empty()) changes.pop_back(); // there was none
    if (outcome.kind == Outcome::Kind::gone) {
        leave_trial(state, key);
        state.held.erase(key);
        return;
    }
    settle_not_written(state, decision, key);
    state.retry_after[key] = now + (outcome.kind == Outcome::Kind::failed ? Gate::retry : Gate::look_again);
}

void unanswered(State& state, const Decision& decision, MonoTime now) {
    const ObjectKey key = key_of(decision.tunable, decision.scope);
    const auto held = state.held.find(key);
    if (held == state.held.end()) return;
    held->second.since = now + longest_wait;
    begin_window(state, key, now + longest_wait); // what is lost until then is lost at no limit of its own
}

namespace {

// Whose trial an adopted change was on: a listener that was granted its share shares the trial of its somaxconn.
TrialKey adopted_trial(const State& state, TunableId tunable, const Scope& scope) {
    if (tunable == TunableId::conntrack_max || tunable == TunableId::conntrack_buckets)
        return {TrialKey::Kind::conntrack, scope.netns, 0};
    if (tunable == TunableId::listener_backlog)
        for (const auto& [key, trial] : state.trials)
            if (key.netns == scope.netns && trial.values.contains({TunableId::somaxconn, scope.netns})) return key;
    if (!scope.listener) return {TrialKey::Kind::minimum, scope.netns, 0};
    return {TrialKey::Kind::accept_queue, scope.netns, scope.listener->cookie};
}

} // namespace

void adopt(State& state, const Adopted& adopted, MonoTime now) {
    const ObjectKey key = key_of(adopted.tunable, adopted.scope);
    const auto use = std::ranges::find(adopted.evidence, expected_use, &Evidence::name);
    state.held[key] = {.scope = adopted.scope,
                       .original = adopted.original,
                       .current = adopted.current,
                       .since = now,
                       .written = now,
                       .expected = {use != adopted.evidence.end() ? use->value : adopted.current}};
    if (adopted.undoing) state.held[key].undo = Undo{adopted.original, "a restore was begun"};
    if (adopted.undoing || !adopted.before_trial) return;
    // What was lost before is not known any more: it is judged as a forecast, by whether it is used without loss.
    const std::uint64_t before = *adopted.before_trial;
    const auto [entry, is_new] = state.trials.try_emplace(adopted_trial(state, adopted.tunable, adopted.scope));
    Trial& trial = entry->second;
    if (is_new) trial.since = trial.last_raise = now;
    if (adopted.tunable == TunableId::conntrack_max) trial.fitted = before;
    const bool is_queue = adopted.tunable == TunableId::listener_backlog;
    if (is_queue && adopted.scope.listener->cookie == entry->first.listener_cookie) trial.fitted = before + 1;
    trial.values[key] = before;
}

void reloaded(State& state) {
    state.yielded.clear();
    state.said.clear();
    state.retry_after.clear();
    state.back_offs.clear();
}

} // namespace bpftune::controller

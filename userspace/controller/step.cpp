// SPDX-License-Identifier: Apache-2.0
#include "controller/step.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "controller/conflict.hpp"
#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "controller/give_back.hpp"
#include "controller/minimum.hpp"
#include "controller/pauses.hpp"
#include "controller/resource.hpp"
#include "controller/undo.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

// The value that the object had after `since`, if it was read.
std::optional<std::uint64_t> value_since(const Reading& reading, MonoTime since) {
    return reading.read > since ? reading.value : std::nullopt;
}

// Looks after what we hold: forgets what is gone, yields or puts back what someone else set.
void tend(Gate& gate) {
    State& state = gate.state();
    for (auto entry = state.held.begin(); entry != state.held.end();) {
        const auto& [key, held] = *entry;
        const Reading* reading = gate.readings().find(key);
        const auto value = reading != nullptr ? value_since(*reading, held.since) : std::nullopt;
        const bool is_foreign = value && *value != held.current;
        if (reading != nullptr && (!is_foreign || stays_ours(gate, gate.snapshot(), key, *value))) {
            ++entry;
            continue;
        }
        if (reading != nullptr)
            state.yielded.insert(key);
        else
            gate.add({.act = Decision::Act::forget,
                      .tunable = key.tunable,
                      .scope = held.scope,
                      .from = held.current,
                      .to = held.current});
        leave_trial(gate, key);
        entry = state.held.erase(entry);
    }
}

// For Gate::is_set_anew(). A socket's limit is judged by its own window. In place, as most are what they were.
void note_values(State& state, const Readings& readings) {
    auto next = state.seen.begin();
    for (const Reading& reading : readings.in_order()) {
        if (!reading.value || is_of_socket(reading.object.tunable)) continue;
        while (next != state.seen.end() && next->first < reading.object) next = state.seen.erase(next);
        const bool was_there = next != state.seen.end() && next->first == reading.object;
        if (!was_there) next = state.seen.emplace_hint(next, reading.object, 0);
        next++->second = *reading.value;
    }
    state.seen.erase(next, state.seen.end());
}

void forget_gone(State& state, const Readings& readings, MonoTime now) {
    const auto is_gone = [&](const ObjectKey& object) { return readings.find(object) == nullptr; };
    const auto is_of_gone = [&](const auto& entry) { return is_gone(entry.first); };
    std::erase_if(state.said, is_of_gone);
    std::erase_if(state.said_before, is_of_gone);
    std::erase_if(state.findings, [&](const auto& entry) {
        return entry.second.empty() || entry.second.back() <= now - std::chrono::hours(1);
    });
    std::erase_if(state.retry_after, is_of_gone);
    std::erase_if(state.roll_back_after, is_of_gone);
    std::erase_if(state.failures, is_of_gone);
    std::erase_if(state.changes, is_of_gone);
    std::erase_if(state.reasserts, is_of_gone);
    std::erase_if(state.floods, is_of_gone);
    std::erase_if(state.back_offs, [&](const auto& entry) { return is_gone(entry.first.object); });
    std::erase_if(state.yielded, is_gone);
    for (const Resource& resource : resources())
        if (resource.forget_gone != nullptr) resource.forget_gone(state, readings);
}

} // namespace

std::vector<Decision> step(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now) {
    Gate gate(policy, state, snapshot, now);
    const bool tick = snapshot.cause == Snapshot::Cause::tick;
    release_sockets(gate);
    if (tick) {
        tend(gate);
        note_use(gate);
    }
    judge_trials(gate, snapshot);
    if (tick) minimum_rule(gate);
    watch_use(gate);
    if (tick) release_rule(gate);
    for (const Resource& resource : resources()) resource.rule(gate);
    if (tick) {
        undo_rule(gate);
        give_back_rule(gate);
        forget_gone(state, gate.readings(), now);
        note_values(state, gate.readings());
    }
    return gate.take();
}

namespace {

constexpr std::size_t most_adopted_uses = 100'000;

// Until an answer: whatever is read of the object by then is older than what it has.
constexpr Nanoseconds longest_wait = std::chrono::hours(24 * 365);

// A write that was made: its effect begins now.
void settle_written(State& state, const ObjectKey& key, Held& held, MonoTime now) {
    held.since = held.written = now;
    begin_window(state, key, now);
}

void settle_lowered(State& state, const ObjectKey& key, MonoTime now) {
    leave_trial(state, key);
    const auto held = state.held.find(key);
    held->second.since = held->second.written = now;
    if (!is_of_socket(key.tunable)) state.seen[key] = held->second.current; // nobody else's
    forget_demand(state, key, Forget::size);
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

// A roll-back has no row of its own, and is not left for long: what is to be undone harms somebody. What was not tried
// is no failure of this object.
Nanoseconds pause_after(State& state, const Decision& decision, const Outcome& outcome) {
    const bool is_conflict = outcome.kind != Outcome::Kind::failed;
    const Nanoseconds first = is_conflict ? Gate::look_again : Gate::retry;
    if (decision.act == Decision::Act::roll_back || !outcome.is_tried) return first;
    unsigned& failures = state.failures[key_of(decision.tunable, decision.scope)];
    return doubled(first, failures++, Gate::longest_retry);
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
    if (outcome.kind == Outcome::Kind::written) state.failures.erase(key);
    if (outcome.kind == Outcome::Kind::written && lowers) return settle_lowered(state, key, now);
    if (outcome.kind == Outcome::Kind::written) return settle_written(state, key, held->second, now);

    if (auto& changes = state.changes[key]; !changes.empty()) changes.pop_back(); // there was none
    if (outcome.kind == Outcome::Kind::gone) {
        leave_trial(state, key);
        state.held.erase(key);
        return;
    }
    settle_not_written(state, decision, key);
    const Nanoseconds pause = pause_after(state, decision, outcome);
    state.retry_after[key] = now + pause;
    state.roll_back_after[key] = now + std::min(pause, Gate::retry);
}

void unanswered(State& state, const Decision& decision, MonoTime now) {
    const ObjectKey key = key_of(decision.tunable, decision.scope);
    const auto held = state.held.find(key);
    if (held == state.held.end()) return;
    held->second.since = now + longest_wait;
    begin_window(state, key, now + longest_wait); // what is lost until then is lost at no limit of its own
}

namespace {

// As many as expected the most as come to what all of them did.
std::vector<std::uint64_t> adopted_use(const Adopted& adopted) {
    const auto evidence = [&](std::string_view name) {
        const auto found = std::ranges::find(adopted.evidence, name, &Evidence::name);
        return found != adopted.evidence.end() ? std::optional(found->value) : std::nullopt;
    };
    const std::uint64_t most = evidence(expected_use).value_or(adopted.current);
    std::vector<std::uint64_t> uses{most};
    const std::uint64_t one = beyond(adopted.original, adopted.current, uses);
    const std::uint64_t all = std::max(evidence(expected_of_all).value_or(one), one);
    if (one == 0) return uses;
    for (std::uint64_t left = all - one; left > 0 && uses.size() < most_adopted_uses; left -= std::min(left, one))
        uses.push_back(adopted.original + std::min(left, one));
    return uses;
}

// Whose trial an adopted change was on: what follows another, or was granted its share with what bounds it, shares the
// trial of that one. What bounds others was raised for one of these, or for the policy's min.
TrialKey adopted_trial(const State& state, TunableId tunable, const Scope& scope) {
    const auto& row = tunables::row(tunable);
    if (row.follows) return {.object = {*row.follows, scope.netns}};
    if (row.bounded_by)
        for (const auto& [key, trial] : state.trials)
            if (key.object.netns == scope.netns && trial.values.contains({*row.bounded_by, scope.netns})) return key;
    const auto* bounded = tunables::bounded_by(tunable);
    if (bounded == nullptr) return {.object = key_of(tunable, scope)};
    if (is_of_socket(bounded->id) && !scope.listener) return {.object = key_of(tunable, scope), .minimum = true};
    return {.object = key_of(bounded->id, scope)};
}

} // namespace

void adopt(State& state, const Adopted& adopted, MonoTime now) {
    const ObjectKey key = key_of(adopted.tunable, adopted.scope);
    state.held[key] = {.scope = adopted.scope,
                       .original = adopted.original,
                       .current = adopted.current,
                       .since = now,
                       .written = now,
                       .expected = adopted_use(adopted),
                       .untested = tunables::row(adopted.tunable).demand_is_shared}; // no row says whose it was
    if (adopted.undoing) state.held[key].undo = Undo{adopted.original, "a restore was begun"};
    if (adopted.undoing || !adopted.before_trial) return;
    // What was lost before is not known any more: it is judged as a forecast, by whether it is used without loss.
    const std::uint64_t before = *adopted.before_trial;
    const auto [entry, is_new] = state.trials.try_emplace(adopted_trial(state, adopted.tunable, adopted.scope));
    Trial& trial = entry->second;
    if (is_new) {
        trial.since = trial.last_raise = now;
        trial.is_fitted_known = false;
    }
    const auto& row = tunables::row(adopted.tunable);
    if (key == entry->first.object && !row.peak_is_unseen) {
        trial.fitted = before + row.spare;
        trial.is_fitted_known = true;
    }
    trial.values[key] = before;
}

void reloaded(State& state) {
    state.yielded.clear();
    state.said.clear();
    state.said_before.clear();
    state.findings.clear();
    state.retry_after.clear();
    state.roll_back_after.clear();
    state.failures.clear();
    state.back_offs.clear();
}

} // namespace bpftune::controller

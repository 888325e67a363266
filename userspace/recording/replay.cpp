// SPDX-License-Identifier: Apache-2.0
#include "recording/replay.hpp"

#include <algorithm>
#include <utility>

#include "controller/step.hpp"
#include "recording/json.hpp"
#include "tunables/codec.hpp"

namespace bpftune::recording {
namespace {

// The same change: it does not have to be for the same reason.
bool is_same_write(const Decision& a, const Decision& b) {
    return a.act == b.act && a.from == b.from && a.to == b.to &&
           key_of(a.tunable, a.scope) == key_of(b.tunable, b.scope);
}

const Settled* settled_then(const Decision& decision, const Step& then) {
    const auto found = std::ranges::find_if(then.settled, [&](const Settled& settled) {
        return is_same_write(decision, then.decisions[settled.decision]);
    });
    return found == then.settled.end() ? nullptr : &*found;
}

ChangeState state_after(const Decision& decision, const Outcome& outcome) {
    if (is_write(decision) && outcome.kind != Outcome::Kind::written) return ChangeState::failed;
    switch (decision.act) {
    case Decision::Act::write: return ChangeState::applied;
    case Decision::Act::roll_back: return ChangeState::rolled_back;
    case Decision::Act::advise: return ChangeState::advice;
    case Decision::Act::recommend: return ChangeState::recommended;
    case Decision::Act::give_back:
    case Decision::Act::reassert:
    case Decision::Act::release:
    case Decision::Act::keep: return ChangeState::kept;
    case Decision::Act::yield:
    case Decision::Act::forget: return ChangeState::yielded;
    }
    std::unreachable();
}

// Of what a change keeps, all that is not in itself.
std::size_t outside_of(const Change& change) {
    return held_bytes(change.scope) + held_bytes(change.boot) + held_bytes(change.original) + held_bytes(change.from) +
           held_bytes(change.to) + held_bytes(change.why) + held_bytes(change.evidence);
}

Losses& operator+=(Losses& sum, const Losses& more) {
    sum.recorded += more.recorded;
    sum.replayed += more.replayed;
    return sum;
}

} // namespace

Result<> Replay::take(std::string_view line) {
    const auto kind = decoder_.read(line);
    if (!kind) return std::unexpected(kind.error());
    if (!begun_ && *kind != Decoder::Line::header) return failure("a recording begins with its header");
    switch (*kind) {
    case Decoder::Line::header: return begun_ ? Result<>() : begin();
    case Decoder::Line::reloaded: return reload();
    case Decoder::Line::restored: restore(); break;
    case Decoder::Line::step: step(); break;
    }
    return check_memory();
}

std::size_t Replay::kept_bytes() const {
    return kept_outside_ + report_.decisions.capacity() * sizeof(Replayed) +
           report_.limits.size() * (node_bytes + sizeof(decltype(report_.limits)::value_type));
}

Result<> Replay::check_memory() const {
    if (decoder_.held_bytes() + kept_bytes() <= most_held_bytes) return {};
    return failure("what is recorded, and decided on it, takes more than {} MiB", most_held_bytes >> 20);
}

Result<> Replay::begin() {
    begun_ = true;
    header_ = decoder_.header();
    state_ = header_.state;
    header_.state = {}; // which goes on changing
    kept_outside_ += held_bytes(header_) + held_bytes(state_);
    for (const auto& [object, held] : state_.held) {
        report_.limits[object] = {held.scope, held.original, held.current, held.current};
        kept_outside_ += held_bytes(held.scope);
    }
    if (own_policy_) {
        policy_ = *own_policy_;
        return {};
    }
    auto policy = policy_of(header_.policy, header_.origin);
    if (!policy) return std::unexpected(policy.error());
    policy_ = std::move(*policy);
    return {};
}

Result<> Replay::reload() {
    controller::reloaded(state_);
    if (own_policy_) {
        policy_ = *own_policy_; // a restore had made it observe
        return {};
    }
    auto policy = policy_of(decoder_.policy(), decoder_.origin());
    if (!policy) return std::unexpected(policy.error());
    policy_ = std::move(*policy);
    return {};
}

void Replay::restore() {
    state_ = {};
    what_if_.restored();
    policy_.mode = policy::Mode::observe;
    for (auto& [object, limit] : report_.limits) limit.replayed = limit.recorded = limit.original;
}

void Replay::step() {
    const Snapshot& recorded = decoder_.snapshot();
    const Step& then = decoder_.step();
    const Snapshot* other = what_if_.shown(recorded);
    const Snapshot& shown = other != nullptr ? *other : recorded;
    if (!report_.first) report_.first = recorded.time;
    report_.last = recorded.time;
    report_.snapshots++;
    if (recorded.cause == Snapshot::Cause::tick) count_losses(recorded, shown);

    const auto decisions = controller::step(policy_, state_, shown, then.now);
    if (decisions.empty() && then.decisions.empty()) return;
    report_.differing += decisions == then.decisions ? 0 : 1;
    note_live_writes(then);
    for (const Decision& decision : decisions) {
        note(decision, then);
        if (is_write(decision)) settle(decision, then);
        if (!check_memory()) return;
    }
}

void Replay::settle(const Decision& decision, const Step& then) {
    const Settled* live = settled_then(decision, then);
    const Outcome outcome = live != nullptr ? live->outcome : Outcome{Outcome::Kind::written, decision.to, {}};
    const MonoTime now = live != nullptr ? live->now : then.now;
    controller::settle(state_, decision, outcome, now);
    if (outcome.kind != Outcome::Kind::written) return;
    what_if_.replay_wrote(decision, now);
    limit_of(decision).replayed = decision.to;
    report_.raises += decision.act == Decision::Act::write ? 1 : 0;
    report_.roll_backs += decision.act == Decision::Act::roll_back ? 1 : 0;
}

void Replay::note_live_writes(const Step& then) {
    for (const Settled& settled : then.settled) {
        if (settled.outcome.kind != Outcome::Kind::written) continue;
        const Decision& decision = then.decisions[settled.decision];
        what_if_.live_wrote(decision, settled.now);
        limit_of(decision).recorded = decision.to;
    }
}

void Replay::note(const Decision& decision, const Step& then) {
    if (decision.act == Decision::Act::forget) return; // the object is gone: nothing was changed
    const Settled* live = settled_then(decision, then);
    const ChangeState state =
        state_after(decision, live != nullptr ? live->outcome : Outcome{Outcome::Kind::written, 0, {}});
    const bool also_then = std::ranges::find(then.decisions, decision) != then.decisions.end();
    report_.decisions.push_back({tunables::change_of(decision, report_.last.wall, state), also_then});
    kept_outside_ += outside_of(report_.decisions.back().change);
    if (decision.act != Decision::Act::yield && decision.act != Decision::Act::release) return;
    Limit& limit = limit_of(decision);
    limit.replayed = limit.recorded = decision.to;
}

Limit& Replay::limit_of(const Decision& decision) {
    const ObjectKey object = key_of(decision.tunable, decision.scope);
    const auto [limit, is_new] =
        report_.limits.try_emplace(object, decision.scope, decision.from, decision.from, decision.from);
    if (is_new) kept_outside_ += held_bytes(decision.scope);
    return limit->second;
}

void Replay::count_losses(const Snapshot& recorded, const Snapshot& shown) {
    for (std::size_t i = 0; i < recorded.listeners.size(); ++i)
        report_.overflows += {recorded.listeners[i].window.overflows, shown.listeners[i].window.overflows};
    for (std::size_t i = 0; i < recorded.conntrack.size(); ++i)
        report_.conntrack_drops += {recorded.conntrack[i].window_lost(), shown.conntrack[i].window_lost()};
}

} // namespace bpftune::recording

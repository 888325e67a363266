// SPDX-License-Identifier: Apache-2.0
#include "service/executor.hpp"

#include <algorithm>
#include <cerrno>
#include <utility>

#include <spdlog/spdlog.h>

#include "controller/step.hpp"
#include "controller/trial.hpp"
#include "core/words.hpp"
#include "sys/clock.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::service {
namespace {

// Until a value that may have been written is read, and read again.
constexpr Nanoseconds until_unknown_is_read = std::chrono::seconds(10);

Change change_now(const Decision& decision, ChangeState state) {
    return tunables::change_of(decision, sys::now().wall, state);
}

std::string described(const Decision& decision) {
    const auto& name = tunables::row(decision.tunable).name;
    std::string object = object_text(decision.tunable, name, decision.scope);
    if (decision.act == Decision::Act::advise) return object;
    if (decision.from == decision.to)
        return fmt::format("{}: {}", object, tunables::text_of(decision.tunable, decision.to));
    return fmt::format("{}: {} -> {}", object, tunables::text_of(decision.tunable, decision.from),
                       tunables::text_of(decision.tunable, decision.to));
}

std::string reason_of(const Decision& decision, const Outcome& outcome) {
    if (outcome.kind != Outcome::Kind::conflict || !outcome.error.empty()) return outcome.error;
    return fmt::format("it was {} by then: someone else's, not written",
                       tunables::text_of(decision.tunable, outcome.value));
}

// What comes next: raises in a row at one go, but those that an event waits for do not wait for others' rows; any other
// decision by itself.
std::span<const Decision> next_of(std::span<const Decision> decisions) {
    const Decision& first = decisions.front();
    const auto other = std::ranges::find_if_not(decisions.subspan(1), [&](const Decision& decision) {
        return first.act == Decision::Act::write && decision.act == first.act &&
               decision.event.has_value() == first.event.has_value();
    });
    return {decisions.begin(), other};
}

} // namespace

// What is put back is on trial if it was before.
ChangeState Executor::state_of_written(const Decision& decision) const {
    const bool on_trial = decision.act != Decision::Act::reassert ||
                          controller::trial_with(state_, key_of(decision.tunable, decision.scope)) != nullptr;
    return on_trial ? ChangeState::applied : ChangeState::kept;
}

bool Executor::carry_out(std::span<const Decision> decisions) {
    step_ = decisions;
    settled_.clear();
    for (auto left = decisions; !left.empty();) {
        const auto next = next_of(left);
        carry_out_next(next);
        left = left.subspan(next.size());
    }
    return !decisions.empty();
}

Executor::Answered Executor::answered(Outcome outcome) const {
    return {.outcome = std::move(outcome), .now = sys::now().mono, .is_known = writer_.knows_outcome()};
}

void Executor::settle(const Decision& decision, const Outcome& outcome, MonoTime now) {
    controller::settle(state_, decision, outcome, now);
    const auto index = static_cast<std::uint64_t>(&decision - step_.data());
    settled_.push_back({.decision = index, .outcome = outcome, .now = now});
}

void Executor::carry_out_next(std::span<const Decision> next) {
    const Decision& decision = next.front();
    const ObjectKey object = key_of(decision.tunable, decision.scope);
    switch (decision.act) {
    case Decision::Act::write:
    case Decision::Act::give_back:
    case Decision::Act::reassert: write(next); break;
    case Decision::Act::recommend: say(decision, ChangeState::recommended); break;
    case Decision::Act::advise: say(decision, ChangeState::advice); break;
    case Decision::Act::keep:
        spdlog::info("kept: {}: {}", described(decision), decision.why);
        recorded(journal_.kept(object, decision.why, decision.evidence), "keep");
        on_change_(decision, ChangeState::kept);
        break;
    case Decision::Act::roll_back: roll_back(decision); break;
    case Decision::Act::yield:
        spdlog::warn("yielded: {}: {}; left alone until restart or reload", described(decision), decision.why);
        recorded(journal_.yielded(object, decision.why), "yield");
        on_change_(decision, ChangeState::yielded);
        break;
    case Decision::Act::forget: forgotten_.push_back(decision); break;
    case Decision::Act::release:
        spdlog::info("released: {}: {}", described(decision), decision.why);
        recorded(journal_.let_go(object, decision.why), "release");
        break;
    }
}

void Executor::say(const Decision& decision, ChangeState state) {
    spdlog::info("{}: {}: {}", to_string(state), described(decision), decision.why);
    const auto row = journal_.begin(change_now(decision, state));
    recorded(row ? Result<>() : std::unexpected(row.error()), "begin");
    on_change_(decision, state);
}

bool Executor::settle_forgotten(Nanoseconds longest) {
    const bool any = !forgotten_.empty();
    const MonoTime deadline = sys::now().mono + longest;
    while (!forgotten_.empty()) {
        forget(forgotten_.front());
        forgotten_.pop_front();
        if (sys::now().mono >= deadline) break;
    }
    return any;
}

// Only what is really gone needs no undoing: a namespace without processes can still be bound to a file.
void Executor::forget(const Decision& decision) {
    const auto value = writer_.read(decision.tunable, decision.scope);
    if (value || value.error().code != ESTALE) return;
    spdlog::info("gone: {}", described(decision));
    recorded(journal_.release(key_of(decision.tunable, decision.scope)), "forget");
}

// A journal that takes no rows is asked again once in a tick, not for each of a burst's events.
Result<std::vector<std::int64_t>> Executor::begin(std::span<const Change> changes) {
    if (journal_error_) return failure("{}", *journal_error_);
    if (auto announced = announce_(); !announced) return std::unexpected(announced.error());
    return journal_.begin(changes);
}

// No row, no write: what cannot be undone is not done. A burst waits for these values: first all rows, at one go, then
// all values, and then what became of them.
void Executor::write(std::span<const Decision> decisions) {
    std::vector<Change> changes;
    for (const Decision& decision : decisions) changes.push_back(change_now(decision, state_of_written(decision)));
    const auto rows = begin(changes);
    if (!rows) {
        for (const Decision& decision : decisions) not_journalled(decision, rows.error());
        return;
    }
    std::vector<Answered> answers;
    writer_.write(decisions, [&](Outcome outcome) { answers.push_back(answered(std::move(outcome))); });
    for (std::size_t i = 0; i < decisions.size(); ++i) finish(decisions[i], (*rows)[i], answers[i]);
}

// It may be tried again in a second: by then the journal may take rows again.
void Executor::not_journalled(const Decision& decision, const Error& error) {
    if (!journal_error_) spdlog::error("not written, because the journal failed: {}", described(decision));
    recorded(std::unexpected(error), "begin");
    settle(decision,
           {.kind = Outcome::Kind::conflict, .value = decision.from, .error = error.message, .is_tried = false},
           sys::now().mono);
}

// What is known to fail is known to work again when a checkpoint has: rows of what was recorded before may still find
// their place where none begins.
void Executor::checkpoint() {
    const auto done = journal_.checkpoint();
    recorded(done, "checkpoint");
    if (done && std::exchange(journal_error_, std::nullopt)) spdlog::info("journal: changes are recorded again");
}

void Executor::recorded(const Result<>& result, std::string_view what) {
    if (result) return;
    if (!journal_error_)
        spdlog::error("journal: {}: {}; nothing is written until changes can be recorded again", what,
                      result.error().message);
    journal_error_ = result.error().message;
}

// What it goes back to is in the rows of the raise: they are marked first, so that a service that dies in between
// leaves both values for ours.
void Executor::roll_back(const Decision& decision) {
    const ObjectKey object = key_of(decision.tunable, decision.scope);
    const auto marked = journal_.rolling_back(object);
    recorded(marked, "rolling back");
    if (!marked) {
        settle(decision, {Outcome::Kind::failed, 0, marked.error().message}, sys::now().mono);
        return;
    }
    const auto [outcome, now, is_known] =
        answered(writer_.lower(decision.tunable, decision.scope, decision.from, decision.to));
    if (!is_known) return await(decision, 0, outcome, now);
    settle(decision, outcome, now);
    finish_roll_back(decision, outcome);
}

void Executor::finish_roll_back(const Decision& decision, const Outcome& outcome) {
    const ObjectKey object = key_of(decision.tunable, decision.scope);
    switch (outcome.kind) {
    case Outcome::Kind::written:
        recorded(journal_.rolled_back(object, decision.why, decision.evidence), "rolled back");
        spdlog::info("rolled back: {}: {}", described(decision), decision.why);
        on_change_(decision, ChangeState::rolled_back);
        nudge(decision);
        break;
    case Outcome::Kind::gone: recorded(journal_.release(object), "gone"); break;
    case Outcome::Kind::conflict: // the next tick says whose it is now
    case Outcome::Kind::failed:
        spdlog::warn("not rolled back: {}: {}", described(decision), reason_of(decision, outcome));
        recorded(journal_.not_rolled_back(object), "not rolled back");
        break;
    }
}

void Executor::finish(const Decision& decision, std::int64_t row, const Answered& answer) {
    if (!answer.is_known) return await(decision, row, answer.outcome, answer.now);
    settle(decision, answer.outcome, answer.now);
    finish(decision, row, answer.outcome, answer.now);
}

void Executor::finish(const Decision& decision, std::int64_t row, const Outcome& outcome, MonoTime now) {
    switch (outcome.kind) {
    case Outcome::Kind::written: written(decision, row, now); break;
    case Outcome::Kind::conflict:
    case Outcome::Kind::failed: not_written(decision, row, reason_of(decision, outcome)); break;
    case Outcome::Kind::gone: gone(decision, row); break;
    }
}

// Without an answer it may have been written, or still come to be: the row stays, and `restore` takes both values for
// ours; nothing that is seen of the object is believed until it was read.
void Executor::await(const Decision& decision, std::int64_t row, const Outcome& outcome, MonoTime now) {
    spdlog::error("no answer: {}: {}", described(decision), outcome.error);
    controller::unanswered(state_, decision, now);
    unknown_.push_back({decision, row, now + until_unknown_is_read});
    unknown_.back().decision.event.reset(); // how long that took says nothing
}

void Executor::settle_unknown(MonoTime now) {
    std::erase_if(unknown_, [&](Unknown& unknown) {
        if (now < unknown.next_look) return false;
        unknown.next_look = now + until_unknown_is_read;
        return settle_unknown(unknown);
    });
}

// False: its value cannot be read yet.
bool Executor::settle_unknown(const Unknown& unknown) {
    const Decision& decision = unknown.decision;
    const auto value = writer_.read(decision.tunable, decision.scope);
    if (!value && value.error().code != ESTALE) return false;
    Outcome outcome{Outcome::Kind::gone, 0, {}};
    if (value) outcome = {*value == decision.to ? Outcome::Kind::written : Outcome::Kind::conflict, *value, {}};
    const MonoTime now = sys::now().mono;
    controller::settle(state_, decision, outcome, now);
    if (decision.act == Decision::Act::roll_back)
        finish_roll_back(decision, outcome);
    else
        finish(decision, unknown.row, outcome, now);
    return true;
}

void Executor::written(const Decision& decision, std::int64_t row, MonoTime now) {
    std::optional<std::chrono::microseconds> reaction;
    if (decision.event) reaction = std::chrono::duration_cast<std::chrono::microseconds>(now - *decision.event);
    recorded(journal_.written(row, reaction), "written");
    ChangeState state = state_of_written(decision);
    if (decision.act == Decision::Act::give_back) { // no trial follows
        const ObjectKey object = key_of(decision.tunable, decision.scope);
        const auto held = state_.held.find(object);
        state = held != state_.held.end() ? ChangeState::kept : ChangeState::restored;
        recorded(journal_.settle(object, state), "given back");
        // A step of a restore: the next start is to go on as well.
        if (held != state_.held.end() && held->second.undo && held->second.undo->value == held->second.original)
            recorded(journal_.undoing(object, true), "undoing");
    }
    spdlog::info("{}: {}: {}", to_string(state), described(decision), decision.why);
    on_change_(decision, state);
    nudge(decision);
}

// A connection that is not nudged may grow by itself, and later ones do: no reason to take the raise back. What is only
// given back has harmed nobody: running connections keep what they have.
void Executor::nudge(const Decision& decision) const {
    const Nudge what = tunables::row(decision.tunable).nudge;
    if (what == Nudge::none || decision.act == Decision::Act::give_back) return;
    if (const auto nudged = nudge_(what, decision.scope); !nudged && nudged.error().code != ESTALE)
        spdlog::warn("running connections were not nudged: {}: {}", described(decision), nudged.error().message);
}

void Executor::not_written(const Decision& decision, std::int64_t row, const std::string& error) {
    spdlog::warn("not written: {}: {}", described(decision), error);
    recorded(journal_.failed(row, error), "failed");
    on_change_(decision, ChangeState::failed);
}

// Pods end all the time.
void Executor::gone(const Decision& decision, std::int64_t row) {
    spdlog::info("gone before it could be written: {}", described(decision));
    recorded(journal_.gone(row), "gone");
    recorded(journal_.release(key_of(decision.tunable, decision.scope)), "gone");
    on_change_(decision, ChangeState::gone);
}

} // namespace bpftune::service

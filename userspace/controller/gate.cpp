// SPDX-License-Identifier: Apache-2.0
#include "controller/gate.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "controller/conflict.hpp"
#include "controller/cost.hpp"
#include "controller/flood.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

Decision decision(Decision::Act act, Wish wish) {
    return {act,     wish.tunable,        std::move(wish.scope),    wish.from,
            wish.to, std::move(wish.why), std::move(wish.evidence), wish.event};
}

// How many there were, and forgets the others.
std::size_t within_an_hour(std::map<ObjectKey, std::vector<MonoTime>>& times, const ObjectKey& key, MonoTime now) {
    const auto found = times.find(key);
    if (found == times.end()) return 0;
    std::erase_if(found->second, [&](MonoTime when) { return when <= now - std::chrono::hours(1); });
    return found->second.size();
}

// A raise is made, or a value put back, only where both have room.
constexpr std::size_t raise_and_roll_back = 2;

// What is raised by less than this part of its limit is as good as not raised, and its trial proves nothing.
constexpr std::uint64_t least_raise = 4;

// Where there is no ratio, the rule knows what is worth a write.
bool is_too_little(const Wish& wish) {
    if (!tunables::is_quantity(wish.tunable)) return false;
    return wish.reason.cause != Cause::minimum && (wish.to - wish.from) * least_raise < wish.from;
}

std::string to_text(const Wish& wish) { return tunables::text_of(wish.tunable, wish.to); }

// Whether `found` allows more than `ours`. Sets of CPUs are not more or less: another one is somebody's choice.
bool is_wider(TunableId tunable, std::uint64_t found, std::uint64_t ours) {
    return found > ours || tunables::means_no_limit(tunable, found) || tunables::row(tunable).is_cpus;
}

// Where it is not known how a namespace is called, no entry can be told from another: it is left alone.
const policy::PodRule unknown_name{.netns = {}, .mode = policy::Mode::observe};

std::map<NetnsId, const policy::PodRule*> rules_of(const policy::Policy& policy, const Snapshot& snapshot) {
    std::map<NetnsId, const policy::PodRule*> rules;
    if (policy.pods.empty()) return rules;
    for (const NetnsNames& names : snapshot.netns_names) rules[names.netns] = policy.rule_for(names.bound);
    return rules;
}

} // namespace

Gate::Gate(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now)
    : policy_(policy), state_(state), snapshot_(snapshot), now_(now), rules_(rules_of(policy, snapshot)),
      readings_(View{.snapshot = snapshot, .state = state, .asks = [this](TunableId tunable, const NetnsId& netns) {
                         return asks(tunable, netns);
                     }}) {}

const policy::PodRule* Gate::rule_of(const NetnsId& netns) const {
    if (policy_.pods.empty()) return nullptr;
    const auto rule = rules_.find(netns);
    return rule == rules_.end() ? &unknown_name : rule->second;
}

policy::TunablePolicy Gate::bounds_of(TunableId tunable, const NetnsId& netns) const {
    const bool of_node = tunables::row(tunable).kind == tunables::Kind::host_sysctl;
    return policy_.of(tunable, of_node ? nullptr : rule_of(netns));
}

policy::Mode Gate::mode_of(TunableId tunable, const NetnsId& netns) const { return mode_of(tunable, netns, false); }

// What the application asked for is no override: where the tunable is not named, that belongs to what bounds it, if
// anything does.
policy::Mode Gate::mode_of(TunableId tunable, const NetnsId& netns, bool within_asked) const {
    const policy::TunablePolicy bounds = bounds_of(tunable, netns);
    if (bounds.named) return std::min(policy_.mode, bounds.mode);
    if (!within_asked) return policy::Mode::observe;
    const policy::Mode own = std::min(policy_.mode, bounds.mode);
    const auto& bounded_by = tunables::row(tunable).bounded_by;
    return bounded_by ? std::min(own, bounds_of(*bounded_by, netns).mode) : own;
}

policy::Mode Gate::mode_of(const Wish& wish) const {
    return mode_of(wish.tunable, wish.scope.netns, wish.within_asked);
}

bool Gate::asks(TunableId tunable, const NetnsId& netns) const {
    // Whether the policy names it or not: an opt-in that it does not name may still be said something of.
    const auto mode = [&](const policy::PodRule* rule) {
        return std::min(policy_.mode, policy_.of(tunable, rule).mode);
    };
    return policy_.pods.empty() || mode(rule_of(netns)) == mode(nullptr);
}

std::optional<ObjectKey> Gate::leader_of(const ObjectKey& object) {
    const auto& follows = tunables::row(object.tunable).follows;
    return follows ? std::optional(ObjectKey{*follows, object.netns}) : std::nullopt;
}

std::optional<Nanoseconds> Gate::shrink_after(const ObjectKey& object) const {
    const policy::TunablePolicy own = bounds_of(object.tunable, object.netns);
    const auto& bounded_by = tunables::row(object.tunable).bounded_by;
    return own.named || !bounded_by ? own.shrink_after : bounds_of(*bounded_by, object.netns).shrink_after;
}

const Held* Gate::held(const ObjectKey& object) const {
    const auto held = state_.held.find(object);
    return held == state_.held.end() ? nullptr : &held->second;
}

bool Gate::just_failed(const ObjectKey& object) const {
    const auto failed = state_.retry_after.find(object);
    return failed != state_.retry_after.end() && now_ < failed->second;
}

bool Gate::too_soon(const ObjectKey& key, const Wish& wish) const {
    if (just_failed(key)) return true;
    const Held* held = this->held(key);
    if (held != nullptr && held->since > now_) return true; // unanswered
    return held != nullptr && !wish.urgent && held->raised && now_ < *held->raised + cooldown;
}

bool Gate::is_on_ramp(const ObjectKey& object) const {
    const Held* held = this->held(object);
    return held != nullptr && held->raised && now_ < *held->raised + ramp_pause && held->raises >= ramp_after;
}

// A second write in one step would build on a first that may fail.
bool Gate::is_written(const ObjectKey& key) const {
    return std::ranges::any_of(decisions_, [&](const Decision& decision) {
        return decision.act == Decision::Act::write && key_of(decision.tunable, decision.scope) == key;
    });
}

bool Gate::puts_back(const ObjectKey& object) const {
    return std::ranges::any_of(decisions_, [&](const Decision& decision) {
        return decision.act == Decision::Act::reassert && key_of(decision.tunable, decision.scope) == object;
    });
}

bool Gate::backs_off(const TrialKey& trial) const {
    const auto found = state_.back_offs.find(trial);
    return found != state_.back_offs.end() && now_ < found->second.until;
}

std::size_t Gate::changes_of(const ObjectKey& key) { return within_an_hour(state_.changes, key, now_); }

// What earlier trials leave to this one. The policy's min asks for no proof.
bool Gate::fit_trials(Wish& wish) {
    // What is being rolled back, the object or what it would be raised with, comes to its end first.
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    const auto joined = state_.trials.find(wish.reason.trial);
    if (joined != state_.trials.end() && !joined->second.verdict.empty()) return false;
    if (const Trial* trial = trial_with(state_, object); trial != nullptr && !trial->verdict.empty()) return false;

    if (changes_of(object) + raise_and_roll_back > changes_an_hour) {
        wish.why += fmt::format("; not raised to {}: changed often enough within an hour", to_text(wish));
        advise(wish, "often");
        return false;
    }
    if (wish.reason.trial.minimum) return true;
    const auto back_off = state_.back_offs.find(wish.reason.trial);
    if (back_off == state_.back_offs.end()) return true;
    const auto& [roll_backs, until] = back_off->second;
    if (now_ < until) {
        wish.why += fmt::format("; not raised to {}: rolled back before, {} min are not over", to_text(wish),
                                std::chrono::ceil<std::chrono::minutes>(until - now_).count());
        advise(wish, "back-off");
        return false;
    }
    if (wish.reason.cause == Cause::loss || roll_backs < false_forecasts) return true;
    wish.why += fmt::format("; not raised to {} before a loss: rolled back {} times", to_text(wish), roll_backs);
    advise(wish, "false forecasts");
    return false;
}

bool Gate::fit_bounds(Wish& wish) {
    const std::uint64_t max = bounds_of(wish.tunable, wish.scope.netns).max;
    if (wish.to <= max) return true;
    if (wish.from >= max || tunables::row(wish.tunable).is_bits) { // a part would be another set of switches
        wish.why += fmt::format("; not raised to {}: the policy's max is {}", to_text(wish),
                                tunables::text_of(wish.tunable, max));
        advise(wish, "max");
        return false;
    }
    wish.why += fmt::format("; {} would be needed, the policy's max is {}", to_text(wish),
                            tunables::text_of(wish.tunable, max));
    wish.to = max;
    return true;
}

// The object as the wish would leave it. What an earlier raise expected is not forgotten.
Held Gate::after(const Wish& wish) const {
    const Held* ours = held(key_of(wish.tunable, wish.scope));
    Held next = ours != nullptr ? *ours : Held{.original = wish.from};
    next.scope = wish.scope;
    next.current = wish.to;
    next.since = now_;
    if (!is_bystander(wish.reason.trial, key_of(wish.tunable, wish.scope))) {
        next.raises = next.raised && now_ < *next.raised + ramp_pause ? next.raises + 1 : 1;
        next.raised = now_;
    }
    next.undo.reset();
    if (beyond(next.original, no_limit, wish.expected) >= beyond(next.original, no_limit, next.expected))
        next.expected = wish.expected;
    return next;
}

// What follows another is held by that one.
bool Gate::fit_flood(Wish& wish) {
    const Flood* flood = flood_at(state_, wish.demand, now_);
    if (flood == nullptr || wish.reason.cause == Cause::minimum || tunables::row(wish.tunable).follows) return true;
    const std::uint64_t most = most_in_flood(*flood);
    if (wish.to <= most) return true;
    if (most <= wish.from) {
        wish.why += fmt::format("; not raised to {}: a flood is no demand ({})", wish.to, flood->evidence);
        Wish finding = wish;
        finding.to = wish.from; // one that grows is no news
        advise(std::move(finding), "flood");
        return false;
    }
    wish.why +=
        fmt::format("; {} would be needed, {} is as far as a flood is followed ({})", wish.to, most, flood->evidence);
    wish.to = most;
    return true;
}

std::uint64_t Gate::left_of_budget(const ObjectKey& object) const {
    const std::uint64_t spent = charged_bytes(*this, object);
    const std::uint64_t budget = policy_.budget_bytes(snapshot_.memory_bytes);
    return budget - std::min(budget, spent);
}

// As much of it as there is room for.
std::uint64_t Gate::within_budget(Wish wish) const {
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    const std::uint64_t left = left_of_budget(object);
    while (wish.to > wish.from && cost_of(object, after(wish), *this).charged_bytes > left)
        wish.to = std::bit_floor(wish.to - 1);
    return wish.to;
}

bool Gate::fit_budget(Wish& wish) {
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    const std::uint64_t left = left_of_budget(object);
    const std::uint64_t wanted = wish.to;
    const Cost whole = cost_of(object, after(wish), *this);
    wish.to = within_budget(wish);
    if (wish.to == wanted) return true;

    const std::string refusal =
        fmt::format("{} would cost {}, memoryBudget has {} left", wanted, to_string(whole), size_text(left));
    if (wish.to > wish.from) {
        wish.why += "; " + refusal;
        return true;
    }
    wish.to = wanted;
    wish.why += "; not raised: " + refusal;
    advise(wish, "budget");
    return false;
}

std::optional<std::string> Gate::why_no_further(Wish wish) const {
    const auto is_room = [](const Wish& left) { return left.to > left.from && !is_too_little(left); };
    if (state_.yielded.contains(key_of(wish.tunable, wish.scope))) return "someone else has set it";
    if (const policy::Mode mode = mode_of(wish); mode != policy::Mode::automatic)
        return fmt::format("its mode is {}", policy::to_string(mode));
    const std::uint64_t max = bounds_of(wish.tunable, wish.scope.netns).max;
    wish.to = std::min(wish.to, max);
    if (!is_room(wish)) return fmt::format("the policy's max is {}", max);
    wish.to = within_budget(wish);
    if (!is_room(wish)) return "memoryBudget has no room";
    return std::nullopt;
}

void Gate::take_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                     std::vector<Evidence> evidence) {
    const Held* held = this->held(object);
    if (held == nullptr || just_failed(object) ||
        mode_of(object.tunable, object.netns, true) != policy::Mode::automatic)
        return;
    lower(Decision::Act::roll_back, object, value, why, std::move(evidence));
}

bool Gate::give_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                     std::vector<Evidence> evidence) {
    const Held* held = this->held(object);
    const policy::Mode mode = mode_of(object.tunable, object.netns, true);
    if (held == nullptr || mode == policy::Mode::observe || just_failed(object)) return false;
    if (now_ < held->since + cooldown || trial_with(state_, object) != nullptr || puts_back(object)) return false;
    if (mode == policy::Mode::recommend) {
        say(Decision::Act::recommend,
            {.tunable = object.tunable,
             .scope = held->scope,
             .from = held->current,
             .to = value,
             .why = why + "; not written: mode is recommend",
             .evidence = std::move(evidence)},
            "give back");
        return true;
    }
    if (changes_of(object) >= give_backs_an_hour) return false;
    lower(Decision::Act::give_back, object, value, why, std::move(evidence));
    return true;
}

void Gate::undo_later(const ObjectKey& object, Undo undo) {
    if (const auto held = state_.held.find(object); held != state_.held.end()) held->second.undo = std::move(undo);
}

void Gate::step_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                     std::vector<Evidence> evidence) {
    const Held* held = this->held(object);
    if (held == nullptr || just_failed(object) ||
        mode_of(object.tunable, object.netns, true) != policy::Mode::automatic)
        return;
    if (now_ < held->since + cooldown || trial_with(state_, object) != nullptr || puts_back(object)) return;
    if (changes_of(object) >= changes_an_hour) return;
    lower(Decision::Act::give_back, object, value, why, std::move(evidence));
}

// What is never more than `object` goes down before it, in proportion.
void Gate::lower_lesser(Decision::Act act, const ObjectKey& object, std::uint64_t value) {
    const auto* lesser = tunables::lesser_of(object.tunable);
    const ObjectKey key{lesser != nullptr ? lesser->id : object.tunable, object.netns};
    const Held* held = lesser != nullptr ? this->held(key) : nullptr;
    if (held == nullptr) return;
    const std::uint64_t original = state_.held.at(object).original;
    const std::uint64_t to = std::min(tunables::following(lesser->id, value, original, held->original), value);
    if (to >= held->current) return;
    lower(act, key, to, fmt::format("{} goes to {}: this one follows it", tunables::row(object.tunable).name, value),
          {});
}

void Gate::lower(Decision::Act act, const ObjectKey& object, std::uint64_t value, const std::string& why,
                 std::vector<Evidence> evidence) {
    lower_lesser(act, object, value);
    Held& held = state_.held.at(object);
    decisions_.push_back({.act = act,
                          .tunable = object.tunable,
                          .scope = held.scope,
                          .from = held.current,
                          .to = value,
                          .why = why,
                          .evidence = std::move(evidence)});
    held.current = value;
    held.since = now_;
    held.raises = 0;
    state_.changes[object].push_back(now_);
}

// nullopt: nothing speaks against it.
std::optional<std::string> Gate::refusal_to_put_back(const ObjectKey& object, std::uint64_t found) {
    const Held& held = state_.held.at(object);
    if (policy_.on_conflict != policy::OnConflict::reassert || is_wider(object.tunable, found, held.current)) return "";
    if (const policy::Mode mode = mode_of(object.tunable, object.netns, true); mode != policy::Mode::automatic)
        return fmt::format("; not put back: mode is {}", policy::to_string(mode));
    if (const Trial* trial = trial_with(state_, object); trial != nullptr && !trial->verdict.empty())
        return "; not put back: it was to be rolled back";
    if (const std::uint64_t max = bounds_of(object.tunable, object.netns).max; held.current > max)
        return fmt::format("; not put back: the policy's max is {}", tunables::text_of(object.tunable, max));
    if (charged_bytes(*this) > policy_.budget_bytes(snapshot_.memory_bytes))
        return "; not put back: the raises that stand are past memoryBudget";
    if (const std::size_t times = within_an_hour(state_.reasserts, object, now_); times >= reasserts_an_hour)
        return fmt::format("; it was put back {} times within an hour, and is not again", times);
    if (changes_of(object) + raise_and_roll_back > changes_an_hour)
        return "; not put back: changed often enough within an hour";
    return std::nullopt;
}

std::expected<void, std::string> Gate::put_back(const ObjectKey& object, std::uint64_t found, const std::string& who) {
    if (auto refusal = refusal_to_put_back(object, found)) return std::unexpected(std::move(*refusal));
    if (just_failed(object)) return {};
    auto& times = state_.reasserts[object];
    times.push_back(now_);
    const Held& held = state_.held.at(object);
    decisions_.push_back({.act = Decision::Act::reassert,
                          .tunable = object.tunable,
                          .scope = held.scope,
                          .from = found,
                          .to = held.current,
                          .why = fmt::format("{}; put back, {} of at most {} times within an hour", who, times.size(),
                                             reasserts_an_hour)});
    state_.changes[object].push_back(now_);
    begin_window(state_, object, now_);
    return {};
}

void Gate::write(const ObjectKey& key, Wish wish) {
    if (wish.reason.cause != Cause::minimum) raise_in_flood(state_, wish.demand, wish.tunable, now_);
    enter_trial(*this, key, wish.reason, wish.from);
    // It may give packets to more CPUs: what softirqs take there speaks against no other trial.
    if (tunables::row(wish.tunable).judged_by == tunables::JudgedBy::throughput)
        for (auto& [of, trial] : state_.trials) trial.guards.softirq.reset();
    const Held& held = state_.held[key] = after(wish);
    const Cost cost = cost_of(key, held, *this);
    if (!held.expected.empty()) wish.evidence.push_back({std::string(expected_use), std::ranges::max(held.expected)});
    wish.evidence.push_back({"cost_bytes", cost.charged_bytes});
    wish.evidence.push_back({"worst_case_bytes", cost.worst_bytes});
    state_.changes[key].push_back(now_);
    decisions_.push_back(decision(Decision::Act::write, std::move(wish)));
}

std::uint64_t Gate::raise(Wish wish) {
    const std::uint64_t from = wish.from;
    const ObjectKey key = key_of(wish.tunable, wish.scope);
    // Another set of CPUs is wanted whatever number it is.
    const bool asks = tunables::row(wish.tunable).is_cpus ? wish.to != from : wish.to > from;
    if (!asks || state_.yielded.contains(key) || too_soon(key, wish) || is_written(key)) return from;
    if (const Held* ours = held(key); ours != nullptr && ours->current != from) return from; // the tick will yield it

    if (const auto who = who_had_set(snapshot_, key, from); who && held(key) == nullptr)
        wish.why += fmt::format("; {} had set it to {}", *who, tunables::text_of(wish.tunable, from));
    const policy::Mode mode = mode_of(wish);
    if (mode == policy::Mode::observe) {
        const auto& row = tunables::row(wish.tunable);
        const policy::TunablePolicy bounds = bounds_of(wish.tunable, wish.scope.netns);
        if (!row.opt_in || bounds.named || bounds.mode == policy::Mode::observe) return from;
        wish.why += fmt::format("; raising it to {} needs {} named in the policy", to_text(wish), row.name);
        say(Decision::Act::recommend, wish, "opt-in");
        return from;
    }
    const std::uint64_t wanted = wish.to;
    if (!fit_flood(wish) || !fit_bounds(wish) || !fit_budget(wish)) return from;
    if (is_too_little(wish)) {
        wish.why += "; that is less than a quarter more: not raised";
        if (wish.to < wanted) advise(std::move(wish), "too little");
        return from;
    }
    if (mode == policy::Mode::recommend) {
        wish.why += "; not written: mode is recommend";
        say(Decision::Act::recommend, std::move(wish), "mode");
        return from;
    }
    if (!fit_trials(wish)) return from;
    const std::uint64_t to = wish.to;
    write(key, std::move(wish));
    return to;
}

void Gate::advise(Wish finding, std::string_view kind) { say(Decision::Act::advise, std::move(finding), kind); }

void Gate::say(Decision::Act act, Wish finding, std::string_view kind) {
    const bool of_node = tunables::row(finding.tunable).kind == tunables::Kind::host_sysctl;
    const policy::PodRule* rule = of_node ? nullptr : rule_of(finding.scope.netns);
    if (policy_.mode == policy::Mode::observe || (rule != nullptr && rule->mode == policy::Mode::observe)) return;
    const ObjectKey key = key_of(finding.tunable, finding.scope);
    Said& said = state_.said[key];
    // A wish that grew to twice of what was said is news; the limit at which nothing is wished is none. A set of CPUs
    // has no size.
    const bool grew = !tunables::row(finding.tunable).is_cpus && finding.to > finding.from && finding.to / 2 >= said.to;
    const bool news = said.why_kind != kind || grew || now_ >= said.when + reminder;
    if (!news) return;
    said = {std::string(kind), std::max<std::uint64_t>(finding.to, 1), now_};
    if (act == Decision::Act::advise) finding.to = finding.from;
    decisions_.push_back(decision(act, std::move(finding)));
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/gate.hpp"

#include <algorithm>
#include <bit>
#include <numeric>
#include <ranges>
#include <utility>

#include <fmt/format.h>

#include "controller/conflict.hpp"
#include "controller/cost.hpp"
#include "controller/flood.hpp"
#include "controller/tenant.hpp"
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
template <class Key>
std::size_t within_an_hour(std::map<Key, std::vector<MonoTime>>& times, const Key& key, MonoTime now) {
    const auto found = times.find(key);
    if (found == times.end()) return 0;
    std::erase_if(found->second, [&](MonoTime when) { return when <= now - std::chrono::hours(1); });
    return found->second.size();
}

bool is_before(const std::map<ObjectKey, MonoTime>& times, const ObjectKey& object, MonoTime now) {
    const auto found = times.find(object);
    return found != times.end() && now < found->second;
}

// On one of the node's limits two kinds may take turns, as of two tables: neither is news for that. nullptr: nothing.
const Said* last_said(const State& state, const ObjectKey& object, std::string_view kind) {
    const auto last = state.said.find(object);
    if (last != state.said.end() && last->second.why_kind == kind) return &last->second;
    const auto others = state.said_before.find(object);
    if (others == state.said_before.end()) return nullptr;
    const auto found = std::ranges::find(others->second, kind, &Said::why_kind);
    return found != others->second.end() ? &*found : nullptr;
}

// The rows of other objects than the node's limits are bounded by their allowance: there a kind that returns is news.
void remember(State& state, const ObjectKey& object, Said now) {
    const auto [entry, is_first] = state.said.try_emplace(object, now);
    if (is_first) return;
    Said& last = entry->second;
    if (is_of_node(object.tunable) && last.why_kind != now.why_kind) {
        std::vector<Said>& others = state.said_before[object];
        std::erase_if(others, [&](const Said& other) { return other.why_kind == now.why_kind; });
        others.push_back(std::move(last));
    }
    last = std::move(now);
}

// A raise is made, or a value put back, only where both have room.
constexpr std::size_t raise_and_roll_back = 2;

// What is raised by less than this part of its limit is as good as not raised, and its trial proves nothing.
constexpr std::uint64_t least_raise = 4;

// Not what stays unknown as long as no runtime tells it.
bool is_of_somebody_new(policy::Unknown unknown) {
    using policy::Unknown;
    return unknown == Unknown::owner || unknown == Unknown::pod || unknown == Unknown::annotation ||
           unknown == Unknown::user_ns;
}

// Where there is no ratio, the rule knows what is worth a write.
bool is_too_little(const Wish& wish) {
    if (!tunables::is_quantity(wish.tunable)) return false;
    return wish.reason.cause != Cause::minimum && (wish.to - wish.from) * least_raise < wish.from;
}

// The next size to be tried where one has no room in the budget: the power of two below it, or, of what a number is
// short of another, half as much more. Words, switches and CPUs have no smaller size.
std::uint64_t smaller(const Wish& wish) {
    if (tunables::is_quantity(wish.tunable)) return std::bit_floor(wish.to - 1);
    return tunables::row(wish.tunable).counts_down_from != 0 ? std::midpoint(wish.from, wish.to) : wish.from;
}

std::string names_of(const std::vector<Tenant>& tenants) {
    const std::string& first = tenants.front().name;
    if (tenants.size() == 1) return first;
    if (tenants.size() == 2) return fmt::format("{} and {}", first, tenants.back().name);
    return fmt::format("{} and {} others", first, tenants.size() - 1);
}

// "354.7 MiB if all 3 namespaces filled it"
std::string worst_text(const Cost& cost) {
    const std::string size = size_text(cost.worst_bytes);
    return cost.sharers > 1 ? fmt::format("{} if all {} {} filled it", size, cost.sharers, cost.of)
                            : fmt::format("{} if it were full", size);
}

std::string to_text(const Wish& wish) { return tunables::text_of(wish.tunable, wish.to); }

// Whether `found` allows more than `ours`. Sets of CPUs are not more or less: another one is somebody's choice.
bool is_wider(TunableId tunable, std::uint64_t found, std::uint64_t ours) {
    return found > ours || tunables::means_no_limit(tunable, found) || tunables::row(tunable).is_cpus;
}

std::map<ObjectKey, TrialKey> on_trial(const State& state) {
    std::map<ObjectKey, TrialKey> found;
    for (const auto& [key, trial] : state.trials)
        for (const auto& [object, value] : trial.values) found.emplace(object, key);
    return found;
}

} // namespace

void ask_for(Wish& wish, std::vector<Tenant> tenants) {
    wish.reason.trial.tenant = tenants.empty() ? std::string() : tenants.front().account;
    wish.askers = std::move(tenants);
}

Gate::Gate(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now)
    : policy_(policy), state_(state), snapshot_(snapshot), now_(now), grants_(policy, snapshot),
      readings_(View{.snapshot = snapshot,
                     .state = state,
                     .asks = [this](TunableId tunable, const NetnsId& netns) { return asks(tunable, netns); }},
                state.spare),
      on_trial_(on_trial(state)) {}

policy::Grant Gate::grant_of(const ObjectKey& object) const {
    if (grants_.is_spec_alone() || is_of_node(object.tunable)) return {};
    if (!is_of_socket(object.tunable)) return grants_.of(object.netns);
    const Reading* reading = readings_.find(object);
    if (reading != nullptr && reading->listener != nullptr) return grants_.of(*reading->listener);
    if (reading != nullptr && reading->udp != nullptr) return grants_.of(*reading->udp);
    const Held* ours = held(object);
    return grants_.of(object.netns, ours != nullptr ? ours->scope.pod : std::nullopt);
}

policy::TunablePolicy Gate::bounds_of(const ObjectKey& object) const {
    return policy_.of(object.tunable, grant_of(object));
}

policy::TunablePolicy Gate::bounds_of(const Wish& wish) const {
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    policy::TunablePolicy bounds = bounds_of(object);
    const auto& bounded_by = tunables::row(wish.tunable).bounded_by;
    if (bounded_by && !policy_.of(wish.tunable).named)
        bounds.max = std::min(bounds.max, policy_.of(*bounded_by, grant_of(object)).max);
    if (!wish.asker || is_of_node(wish.tunable)) return bounds;
    const policy::TunablePolicy own = policy_.of(wish.tunable, grant_of(*wish.asker));
    bounds.mode = std::min(bounds.mode, own.mode);
    bounds.max = std::min(bounds.max, own.max);
    return bounds;
}

// What the application asked for is no override: where the tunable is not named, that belongs to what bounds it, if
// anything does.
Gate::Say Gate::say_on(const ObjectKey& object, const std::optional<ObjectKey>& asker, bool within_asked) const {
    const auto& row = tunables::row(object.tunable);
    const bool is_named = policy_.of(object.tunable).named;
    if (!is_named && !within_asked) return {.mode = policy::Mode::observe, .grant = {}};
    Say lowest{.mode = policy_.mode, .grant = {}};
    const auto consider = [&](TunableId tunable, const policy::Grant& grant) {
        const policy::Mode mode = policy_.of(tunable, grant).mode;
        const policy::Grant lower = policy_.lower_mode(tunable, grant);
        const bool is_surer = mode == lowest.mode && lowest.grant.is_in_doubt() && !lower.is_in_doubt();
        if (mode < lowest.mode || is_surer) lowest = {mode, lower};
    };
    consider(object.tunable, {});
    if (!is_named && row.bounded_by) consider(*row.bounded_by, {});
    const policy::Grant own = grant_of(object);
    consider(object.tunable, own);
    if (asker && *asker != object && !is_of_node(object.tunable)) consider(object.tunable, grant_of(*asker));
    if (is_named || !row.bounded_by) return lowest;
    consider(*row.bounded_by, own);
    consider(*row.bounded_by, grants_.of(object.netns));
    return lowest;
}

Gate::Say Gate::say_on(const Wish& wish) const {
    const bool needs_no_name = wish.within_asked && policy_.allows(wish.tunable, true);
    return say_on(key_of(wish.tunable, wish.scope), wish.asker, needs_no_name);
}

policy::Mode Gate::mode_of(const ObjectKey& object, bool within_asked) const {
    return say_on(object, std::nullopt, within_asked).mode;
}

// "mode is recommend, held by policy.yaml:12"
std::string Gate::mode_text(const Say& say) const {
    const std::string who = policy::held_by(policy_, say.grant);
    return fmt::format("mode is {}{}{}", policy::to_string(say.mode), who.empty() ? "" : ", ", who);
}

// "the policy's max is 256 (policy.yaml:12)"
std::string Gate::max_text(const Wish& wish) const {
    const std::uint64_t max = bounds_of(wish).max;
    std::string text = fmt::format("the policy's max is {}", tunables::text_of(wish.tunable, max));
    if (max == policy_.of(wish.tunable).max) return text;
    const policy::Grant own = grant_of(key_of(wish.tunable, wish.scope));
    const bool is_own = policy_.of(wish.tunable, own).max == max || !wish.asker;
    const policy::Grant grant = policy_.lower_max(wish.tunable, is_own ? own : grant_of(*wish.asker));
    return grant.rule == nullptr ? text : fmt::format("{} ({})", text, place_of(policy_, *grant.rule));
}

// Whether the policy names it or not: an opt-in that it does not name may still be said something of.
bool Gate::asks(TunableId tunable, const policy::Grant& grant) const {
    return std::min(policy_.mode, policy_.of(tunable, grant).mode) == std::min(policy_.mode, policy_.of(tunable).mode);
}

bool Gate::asks(TunableId tunable, const NetnsId& netns) const {
    return grants_.is_spec_alone() || asks(tunable, grants_.of(netns));
}

bool Gate::asks(TunableId tunable, const UdpSocket& socket) const { return asks(tunable, grants_.of(socket)); }

bool Gate::is_heard(TunableId tunable, const Listener& listener) const {
    return policy_.of(tunable, grants_.of(listener)).mode != policy::Mode::observe;
}

std::optional<ObjectKey> Gate::leader_of(const ObjectKey& object) {
    const auto& follows = tunables::row(object.tunable).follows;
    return follows ? std::optional(ObjectKey{*follows, object.netns}) : std::nullopt;
}

std::optional<Nanoseconds> Gate::shrink_after(const ObjectKey& object) const {
    const policy::TunablePolicy own = bounds_of(object);
    const auto& bounded_by = tunables::row(object.tunable).bounded_by;
    return own.named || !bounded_by ? own.shrink_after : bounds_of(ObjectKey{*bounded_by, object.netns}).shrink_after;
}

const Held* Gate::held(const ObjectKey& object) const {
    const auto held = state_.held.find(object);
    return held == state_.held.end() ? nullptr : &held->second;
}

bool Gate::just_failed(const ObjectKey& object) const { return is_before(state_.retry_after, object, now_); }

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

const TrialKey* Gate::trial_key_of(const ObjectKey& object) const {
    const auto key = on_trial_.find(object);
    if (key == on_trial_.end()) return nullptr;
    const auto trial = state_.trials.find(key->second);
    return trial != state_.trials.end() && trial->second.values.contains(object) ? &trial->first : nullptr;
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
    if (const Trial* trial = trial_with(*this, object); trial != nullptr && !trial->verdict.empty()) return false;

    const std::size_t most = wish.reason.trial.tenant.empty() ? changes_an_hour : changes_an_hour_for_tenants;
    if (changes_of(object) + raise_and_roll_back > most) {
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
    const std::uint64_t max = bounds_of(wish).max;
    if (wish.to <= max) return true;
    if (wish.from >= max || tunables::row(wish.tunable).is_bits) { // a part would be another set of switches
        wish.why += fmt::format("; not raised to {}: {}", to_text(wish), max_text(wish));
        advise(wish, "max");
        return false;
    }
    wish.why += fmt::format("; {} would be needed, {}", to_text(wish), max_text(wish));
    wish.to = max;
    return true;
}

std::vector<Tenant> Gate::payers_of(const Wish& wish) const {
    if (!wish.askers.empty()) return wish.askers;
    return {tenant_of(*this, key_of(wish.tunable, wish.scope), wish.scope)};
}

// The object as the wish would leave it. What an earlier raise expected is not forgotten.
Held Gate::after(const Wish& wish) const {
    const Held* ours = held(key_of(wish.tunable, wish.scope));
    Held next = ours != nullptr ? *ours : Held{.original = wish.from};
    next.scope = wish.scope;
    next.tenant = payers_of(wish).front();
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
        wish.why += fmt::format("; not raised to {}: a flood is no demand ({})", to_text(wish), flood->evidence);
        Wish finding = wish;
        finding.to = wish.from; // one that grows is no news
        advise(std::move(finding), "flood");
        return false;
    }
    wish.why += fmt::format("; {} would be needed, {} is as far as a flood is followed ({})", to_text(wish),
                            tunables::text_of(wish.tunable, most), flood->evidence);
    wish.to = most;
    return true;
}

// Of all payers together. However many they are, what goes past their shares leaves others something. A small node's
// share may be too small for any raise: one object of a tenant may go past it. What is raised only because it waits in
// the same namespace may not, and takes nothing from that.
Gate::Room Gate::room_for(const ObjectKey& object, const std::vector<Tenant>& payers, const TrialKey& trial) const {
    const std::uint64_t left = left_of_budget(object);
    Room budget{.bytes = left, .of = "memoryBudget"};
    if (std::ranges::any_of(payers, &Tenant::is_node)) return budget;
    const std::uint64_t share = policy_.share_bytes(snapshot_.memory_bytes);
    std::uint64_t bytes = 0;
    bool may_pass_share = false;
    for (const Tenant& payer : payers) {
        const TenantCharge charge = charge_of(*this, payer, object);
        bytes += share - std::min(share, charge.bytes);
        may_pass_share |= !is_bystander(trial, object) && charge.bytes_for_itself <= share;
    }
    if (may_pass_share) bytes = std::max(bytes, left - left / parts_with_one_for_others);
    return bytes < left ? Room{.bytes = bytes, .of = "tenantShare of " + names_of(payers)} : budget;
}

std::uint64_t Gate::left_of_budget(const ObjectKey& object) const {
    const std::uint64_t budget = policy_.budget_bytes(snapshot_.memory_bytes);
    return budget - std::min(budget, charged_bytes(*this, object));
}

// As much of it as there is room for: of what it is charged with, or takes at worst.
std::uint64_t Gate::within_room(Wish wish, const Room& room, std::uint64_t Cost::* bytes) const {
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    while (wish.to > wish.from && cost_of(object, after(wish), *this).*bytes > room.bytes) wish.to = smaller(wish);
    return wish.to;
}

// False: to nothing, and that has been said.
bool Gate::hold_to(Wish& wish, std::uint64_t most, const std::string& refusal, std::string_view kind) {
    if (most > wish.from) {
        wish.to = most;
        wish.why += "; " + refusal;
        return true;
    }
    wish.why += "; not raised: " + refusal;
    advise(wish, kind);
    return false;
}

std::uint64_t Gate::within_shares(const Wish& wish) const {
    const bool is_by_budget_alone = policy_.tenant_share >= 1;
    if (wish.askers.empty() || is_by_budget_alone) return wish.to;
    return within_room(wish, room_for(key_of(wish.tunable, wish.scope), wish.askers, wish.reason.trial),
                       &Cost::worst_bytes);
}

// What one has raised all who are held to it may fill.
bool Gate::fit_shares(Wish& wish) {
    const std::uint64_t most = within_shares(wish);
    if (most == wish.to) return true;
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    const Room room = room_for(object, wish.askers, wish.reason.trial);
    const std::string refusal = fmt::format(
        "{} would take {}, and {} alone ask{} for it: {} has {} left; a larger tenantShare, or a min in the "
        "policy, allows more",
        to_text(wish), worst_text(cost_of(object, after(wish), *this)), names_of(wish.askers),
        wish.askers.size() == 1 ? "s" : "", room.of, size_text(room.bytes));
    return hold_to(wish, most, refusal, "shares");
}

bool Gate::fit_budget(Wish& wish) {
    const ObjectKey object = key_of(wish.tunable, wish.scope);
    const Room room = room_for(object, payers_of(wish), wish.reason.trial);
    const std::uint64_t most = within_room(wish, room, &Cost::charged_bytes);
    if (most == wish.to) return true;
    const Cost whole = cost_of(object, after(wish), *this);
    const std::string refusal = fmt::format("{} would cost {}, {} has {} left", to_text(wish), to_string(whole),
                                            room.of, size_text(room.bytes));
    return hold_to(wish, most, refusal, "budget");
}

std::optional<std::string> Gate::why_no_further(Wish wish) const {
    const auto is_room = [](const Wish& left) { return left.to > left.from && !is_too_little(left); };
    if (state_.yielded.contains(key_of(wish.tunable, wish.scope))) return "someone else has set it";
    if (const Say say = say_on(wish); say.mode != policy::Mode::automatic) return "its " + mode_text(say);
    wish.to = std::min(wish.to, bounds_of(wish).max);
    if (!is_room(wish)) return max_text(wish);
    const Room room = room_for(key_of(wish.tunable, wish.scope), payers_of(wish), wish.reason.trial);
    wish.to = within_shares(wish);
    wish.to = within_room(wish, room, &Cost::charged_bytes);
    if (!is_room(wish)) return room.of + " has no room";
    return std::nullopt;
}

void Gate::take_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                     std::vector<Evidence> evidence) {
    if (held(object) == nullptr || is_before(state_.roll_back_after, object, now_)) return;
    if (mode_of(object, true) != policy::Mode::automatic) return;
    lower(Decision::Act::roll_back, object, value, why, std::move(evidence));
}

bool Gate::give_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                     std::vector<Evidence> evidence) {
    const Held* held = this->held(object);
    const Say say = say_on(object, std::nullopt, true);
    if (held == nullptr || say.mode == policy::Mode::observe || just_failed(object)) return false;
    if (now_ < held->since + cooldown || trial_with(*this, object) != nullptr || puts_back(object)) return false;
    if (say.mode == policy::Mode::recommend) {
        this->say(Decision::Act::recommend,
                  {.tunable = object.tunable,
                   .scope = held->scope,
                   .from = held->current,
                   .to = value,
                   .why = why + "; not written: " + mode_text(say),
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
    if (held == nullptr || just_failed(object) || mode_of(object, true) != policy::Mode::automatic) return;
    if (now_ < held->since + cooldown || trial_with(*this, object) != nullptr || puts_back(object)) return;
    const bool is_for_tenants = is_of_node(object.tunable) && !held->tenant.is_node();
    if (changes_of(object) >= (is_for_tenants ? changes_an_hour_for_tenants : changes_an_hour)) return;
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
    lower(act, key, to,
          fmt::format("{} goes to {}: this one follows it", tunables::row(object.tunable).name,
                      tunables::text_of(object.tunable, value)),
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
    if (const Say say = say_on(object, std::nullopt, true); say.mode != policy::Mode::automatic)
        return "; not put back: " + mode_text(say);
    if (const Trial* trial = trial_with(*this, object); trial != nullptr && !trial->verdict.empty())
        return "; not put back: it was to be rolled back";
    if (const std::uint64_t max = bounds_of(object).max; held.current > max)
        return fmt::format("; not put back: the policy's max is {}", tunables::text_of(object.tunable, max));
    if (cost_of(object, held, *this).charged_bytes > left_of_budget(object))
        return "; not put back: the raises that stand are past memoryBudget";
    if (const std::size_t times = within_an_hour(state_.reasserts, object, now_); times >= reasserts_an_hour)
        return fmt::format("; it was put back {} times within an hour, and is not again", times);
    if (changes_of(object) + raise_and_roll_back > changes_an_hour)
        return "; not put back: changed often enough within an hour";
    return std::nullopt;
}

std::expected<void, std::string> Gate::put_back(const ObjectKey& object, std::uint64_t found, const std::string& who) {
    if (policy_.on_conflict == policy::OnConflict::reassert &&
        is_of_somebody_new(say_on(object, std::nullopt, true).grant.unknown))
        return {}; // told when it is known whose it is
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
    if (held.expected.size() > 1)
        wish.evidence.push_back({std::string(expected_of_all), beyond(held.original, held.current, held.expected)});
    wish.evidence.push_back({"cost_bytes", cost.charged_bytes});
    wish.evidence.push_back({"worst_case_bytes", cost.worst_bytes});
    state_.changes[key].push_back(now_);
    decisions_.push_back(decision(Decision::Act::write, std::move(wish)));
}

bool Gate::is_set_anew(const ObjectKey& object) const {
    const auto seen = state_.seen.find(object);
    const Reading* reading = readings_.find(object);
    if (seen == state_.seen.end() || reading == nullptr || !reading->value || *reading->value == seen->second)
        return false;
    const Held* ours = held(object);
    return ours == nullptr || ours->current != *reading->value;
}

std::uint64_t Gate::raise(Wish wish) {
    const std::uint64_t from = wish.from;
    const ObjectKey key = key_of(wish.tunable, wish.scope);
    // Another set of CPUs is wanted whatever number it is.
    const bool asks = tunables::row(wish.tunable).is_cpus ? wish.to != from : wish.to > from;
    if (!asks || state_.yielded.contains(key) || too_soon(key, wish) || is_written(key)) return from;
    if (wish.reason.cause == Cause::loss && is_set_anew(key)) return from;
    if (const Held* ours = held(key); ours != nullptr && ours->current != from) return from; // the tick will yield it

    if (const auto who = who_had_set(snapshot_, key, from); who && held(key) == nullptr)
        wish.why += fmt::format("; {} had set it to {}", *who, tunables::text_of(wish.tunable, from));
    const Say say = say_on(wish);
    if (say.mode == policy::Mode::observe) {
        observe(std::move(wish), say);
        return from;
    }
    const std::uint64_t wanted = wish.to;
    if (!fit_flood(wish) || !fit_bounds(wish) || !fit_shares(wish) || !fit_budget(wish)) return from;
    if (is_too_little(wish)) {
        wish.why += "; that is less than a quarter more: not raised";
        if (wish.to < wanted) advise(std::move(wish), "too little");
        return from;
    }
    if (say.mode == policy::Mode::recommend) {
        wish.why += "; not written: " + mode_text(say);
        this->say(Decision::Act::recommend, std::move(wish), "mode");
        return from;
    }
    if (!fit_trials(wish)) return from;
    const std::uint64_t to = wish.to;
    write(key, std::move(wish));
    return to;
}

bool Gate::may_be_known_soon(const ObjectKey& object, policy::Unknown unknown) {
    constexpr std::string_view kind = "new";
    if (!is_of_somebody_new(unknown) || last_said(state_, object, "in doubt") != nullptr) return false;
    if (last_said(state_, object, kind) == nullptr)
        remember(state_, object, {.why_kind = std::string(kind), .to = 0, .when = now_});
    return now_ < last_said(state_, object, kind)->when + until_known;
}

// Of what may not even be said there is nothing to tell; but why nobody knows whether it may, and what opting in would
// do.
void Gate::observe(Wish wish, const Say& say) {
    const auto& row = tunables::row(wish.tunable);
    const policy::TunablePolicy bounds = bounds_of(wish);
    if (say.grant.is_in_doubt()) {
        if (may_be_known_soon(key_of(wish.tunable, wish.scope), say.grant.unknown)) return;
        wish.why += "; " + policy::held_by(policy_, say.grant);
        return note(Decision::Act::recommend, std::move(wish), "in doubt");
    }
    if (!row.opt_in || bounds.named || bounds.mode == policy::Mode::observe) return;
    wish.why += fmt::format("; raising it to {} needs {} named in the policy", to_text(wish), row.name);
    this->say(Decision::Act::recommend, std::move(wish), "opt-in");
}

void Gate::advise(Wish finding, std::string_view kind) { say(Decision::Act::advise, std::move(finding), kind); }

bool Gate::is_silent(const Wish& finding) const {
    if (policy_.mode == policy::Mode::observe) return true;
    if (is_of_node(finding.tunable)) return false;
    return grant_of(key_of(finding.tunable, finding.scope)).mode() == policy::Mode::observe ||
           (finding.asker && grant_of(*finding.asker).mode() == policy::Mode::observe);
}

void Gate::say(Decision::Act act, Wish finding, std::string_view kind) {
    if (!is_silent(finding)) note(act, std::move(finding), kind);
}

// The node's own limits are few. Whoever makes namespaces for himself, which are left alone, has one allowance for all.
bool Gate::take_room_for(Wish& finding, const NetnsId& netns) {
    const NetnsNames* names = snapshot_.names_of(netns);
    const NetnsId whose = names != nullptr && names->is_made_by_user() ? NetnsId{} : netns;
    const std::size_t own = within_an_hour(state_.findings, whose, now_);
    if (own >= findings_an_hour_of_netns) return false;
    std::size_t all = 0;
    for (const auto& [id, times] : state_.findings) all += within_an_hour(state_.findings, id, now_);
    const std::size_t most = all < findings_an_hour ? findings_an_hour_of_netns : findings_an_hour_in_any_case;
    if (own >= most) return false;
    if (own + 1 == most)
        finding.why += "; no more such findings of this network namespace are recorded within this hour";
    state_.findings[whose].push_back(now_);
    return true;
}

void Gate::note(Decision::Act act, Wish finding, std::string_view kind) {
    const ObjectKey key = key_of(finding.tunable, finding.scope);
    const Said* before = last_said(state_, key, kind);
    // A wish that grew to twice of what was said is news; the limit at which nothing is wished is none. A set of CPUs
    // has no size.
    const bool grew = !tunables::row(finding.tunable).is_cpus && finding.to > finding.from && before != nullptr &&
                      finding.to / 2 >= before->to;
    const bool news = before == nullptr || grew || now_ >= before->when + reminder;
    if (!news) return;
    if (!is_of_node(key.tunable) && !take_room_for(finding, key.netns)) return;
    remember(state_, key, {std::string(kind), std::max<std::uint64_t>(finding.to, 1), now_});
    if (act == Decision::Act::advise) finding.to = finding.from;
    decisions_.push_back(decision(act, std::move(finding)));
}

} // namespace bpftune::controller

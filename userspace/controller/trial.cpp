// SPDX-License-Identifier: Apache-2.0
#include "controller/trial.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "controller/guards.hpp"
#include "controller/invariants.hpp"
#include "controller/pauses.hpp"
#include "controller/tenant.hpp"
#include "controller/undo.hpp"
#include "core/words.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::controller {
namespace {

// A loss that is not at least halved was not for want of this limit, unless so much more of what came got in: of a
// demand that is many times what fits, twice as much takes little off the loss.
constexpr double worthwhile = 0.5;
constexpr double got_in_more = 1.25;
constexpr double least_got_in = 0.25; // of all: where hardly anything got in, any chance is twice as much

// What a buffer holds back moves the same in each round trip, to a few percent.
constexpr double faster = 1.05;
constexpr double slower = 0.9;
// A look takes a quarter of a second, and the first one after a raise is of neither limit; what a longer queue loses
// shows within some round trips more.
constexpr Nanoseconds until_slower = std::chrono::seconds(1);
constexpr Nanoseconds until_no_faster = std::chrono::seconds(3);
// What was held back is looked at for ten seconds after (bpf/flows.iter.bpf.c, FOLLOWED_NS): it would have been.
constexpr Nanoseconds until_gone = std::chrono::seconds(15);

double loss_ratio(const Measured& side) {
    return side.demand > 0 ? static_cast<double>(side.losses) / static_cast<double>(side.demand) : 0;
}

std::uint64_t per_1000(const Measured& side) { return static_cast<std::uint64_t>(loss_ratio(side) * 1000); }

bool is_by(tunables::JudgedBy judged_by, const TrialKey& key) {
    return !key.minimum && tunables::row(key.object.tunable).judged_by == judged_by;
}
bool is_by_rate(const TrialKey& key) { return is_by(tunables::JudgedBy::rate, key); }
bool is_by_nothing(const TrialKey& key) { return is_by(tunables::JudgedBy::nothing, key); }
bool is_by_throughput(const TrialKey& key) { return is_by(tunables::JudgedBy::throughput, key); }

std::string_view held_at_once(const TrialKey& key) { return tunables::row(key.object.tunable).held_at_once; }

double got_in(const Measured& side) { return side.demand > 0 ? 1 - loss_ratio(side) : 0; }

bool is_worthwhile(const Measured& before, const Measured& after) {
    const bool is_halved = loss_ratio(after) <= worthwhile * loss_ratio(before);
    return is_halved || got_in(after) >= std::max(got_in_more * got_in(before), least_got_in);
}

// Where nothing had been lost there is no ratio to compare with. But what was in use at once beyond what fitted would
// have been lost at the old limit, once at the least.
bool lost_less_than_it_took_in(const Trial& trial) {
    const std::uint64_t taken_in = trial.after.use > trial.fitted ? trial.after.use - trial.fitted : 0;
    return static_cast<double>(trial.after.losses) <= worthwhile * static_cast<double>(trial.after.losses + taken_in);
}

std::string fitted_text(const Trial& trial) {
    return trial.is_fitted_known ? fmt::format("where {} fitted before", trial.fitted)
                                 : std::string("(what fitted before is not known any more)");
}

// Use passed what fitted before, or was lost at the new limit.
Verdict verdict_on_tested(const TrialKey& key, const Trial& trial) {
    const Measured& after = trial.after;
    const std::string use = fmt::format("{} {} {}", after.use, held_at_once(key), fitted_text(trial));
    if (after.losses == 0) {
        const std::string in_flood =
            after.lost_in_flood > 0 ? fmt::format(" but {} in a flood", after.lost_in_flood) : std::string();
        return {Verdict::Kind::keep, use + ", and none was lost" + in_flood};
    }
    if (trial.cause == Cause::forecast && lost_less_than_it_took_in(trial))
        return {Verdict::Kind::keep, fmt::format("{}, and {} of {} were lost", use, after.losses, after.demand)};
    const std::string ratios = fmt::format("lost {} of {} since, {} of {} before", after.losses, after.demand,
                                           trial.before.losses, trial.before.demand);
    if (trial.cause == Cause::loss && is_worthwhile(trial.before, after)) return {Verdict::Kind::keep, ratios};
    return {Verdict::Kind::roll_back, ratios};
}

// What waits all the time would have filled the old limit all the time as well: a longer queue is only a longer wait.
// A burst that takes some seconds is waited for.
Verdict verdict_on_behind(const Trial& trial, MonoTime now) {
    if (now < *trial.behind_since + trial_window) return {};
    const Behind& behind = *trial.behind;
    const std::string pace =
        behind.served_per_second == 0
            ? std::string("fewer than one a second was accepted: it hangs or is stopped")
            : fmt::format("the application accepted {} a second: it is too slow", behind.served_per_second);
    return {Verdict::Kind::roll_back, fmt::format("{} waited all the time {} while {}, and a longer queue would only "
                                                  "add delay",
                                                  behind.waited, fitted_text(trial), pace)};
}

Verdict verdict_on_untested(const TrialKey& key, const Trial& trial) {
    const std::string calm = fmt::format("at most {} {} in {} min{} {}", trial.after.use, held_at_once(key),
                                         std::chrono::duration_cast<std::chrono::minutes>(longest_trial).count(),
                                         trial.is_fitted_known ? "," : "", fitted_text(trial));
    if (trial.cause == Cause::loss) return {Verdict::Kind::keep, calm + ": the demand did not return", false};
    if (trial.after.use > trial.fitted / 2) return {Verdict::Kind::keep, calm + ": still near it", false};
    return {Verdict::Kind::roll_back, calm + ": it was not needed"};
}

// What came to the namespace may have been for others: nothing is proven by it unless this one was seen to need more.
Verdict doubted(const TrialKey& key, const Trial& trial, Verdict verdict) {
    if (verdict.kind != Verdict::Kind::keep || trial.filled || !tunables::row(key.object.tunable).demand_is_shared)
        return verdict;
    verdict.why += "; whether they were for this one is not seen";
    verdict.is_tested = false;
    return verdict;
}

std::string rates_text(const RaisedFlows& raised) {
    return fmt::format("{} connection{} that {} held back move{} {} a second, {} before", raised.flows,
                       raised.flows == 1 ? "" : "s", raised.flows == 1 ? "was" : "were", raised.flows == 1 ? "s" : "",
                       size_text(raised.since), size_text(raised.before));
}

Verdict verdict_on_rate(const Trial& trial, MonoTime now) {
    if (!trial.raised) {
        if (now < trial.last_raise + until_gone) return {};
        return {Verdict::Kind::keep, "the connections that it was for have ended, or move nothing to speak of", false};
    }
    const RaisedFlows& raised = *trial.raised;
    const double gain = static_cast<double>(raised.since) / static_cast<double>(raised.before);
    std::string rates = rates_text(raised);
    // To fill half of a size proves nothing by itself: of one that is less than twice the last, the old pace does.
    if (2 * raised.held_again >= raised.flows && gain >= faster)
        return {Verdict::Kind::keep, rates + ", and fill it again"};
    const bool waits = 2 * raised.held_at_other_end >= raised.flows && gain < faster;
    const Nanoseconds enough = waits ? trial_window : gain < slower ? until_slower : until_no_faster;
    if (now < trial.last_raise + enough) return {};
    if (gain >= faster) return {Verdict::Kind::keep, std::move(rates)};
    if (gain >= slower) rates += ": it is something else that holds them back";
    return {Verdict::Kind::roll_back, std::move(rates)};
}

// Beyond it CPUs are kept busy with handing packets on, and not with these.
constexpr double most_softirq_time = 2;
// So much of a loss is seen within the first window that is whole.
constexpr std::uint64_t harm_per_1000 = 10;

// Bytes, and no packets: what is taken faster is put together to larger ones (TSO of a local sender, GRO), each of
// which takes longer. 9.2 Gbit/s in 24,300 packets became 12.6 in 24,900. Packets of one size tell the same by either.
double bytes_a_second(const Measured& side) { return static_cast<double>(side.bytes) / Seconds(side.length).count(); }

double softirq_us_a_megabyte(const Measured& side) {
    return 1e6 * static_cast<double>(side.softirq_us) / static_cast<double>(std::max<std::uint64_t>(side.bytes, 1));
}

std::string rate_text(double bytes_per_second) {
    const double kilobits = 8 * bytes_per_second / 1e3;
    if (kilobits < 1e3) return fmt::format("{:.2f} kbit/s", kilobits);
    return kilobits < 1e6 ? fmt::format("{:.2f} Mbit/s", kilobits / 1e3) : fmt::format("{:.2f} Gbit/s", kilobits / 1e6);
}

std::string throughput_text(const Trial& trial) {
    const auto& [before, after] = std::pair<const Measured&, const Measured&>(trial.before, trial.after);
    return fmt::format("{}, {} before, at {:.2f} ms of softirqs for each MB, {:.2f} before; lost {} of {} packets, {} "
                       "of {} before",
                       rate_text(bytes_a_second(after)), rate_text(bytes_a_second(before)),
                       softirq_us_a_megabyte(after) / 1e3, softirq_us_a_megabyte(before) / 1e3, after.losses,
                       after.demand, before.losses, before.demand);
}

Verdict verdict_on_throughput(const Trial& trial, MonoTime now) {
    const Measured& before = trial.before;
    const Measured& after = trial.after;
    if (before.length == Nanoseconds() || before.bytes == 0)
        return {Verdict::Kind::roll_back, "what it was like before is not known any more"};
    if (now >= trial.since + longest_trial) return {Verdict::Kind::roll_back, "it could not be measured since"};
    if (after.length == Nanoseconds()) return {};
    const bool harms = per_1000(after) > per_1000(before) + harm_per_1000;
    if (!harms && (now < trial.last_raise + trial_window || 2 * after.length < trial_window)) return {};
    const double gain = bytes_a_second(after) / bytes_a_second(before);
    const bool loses_more = per_1000(after) > per_1000(before);
    const bool loses_less =
        per_1000(before) > 0 && loss_ratio(after) <= worthwhile * loss_ratio(before) && gain >= slower;
    const bool is_dear = softirq_us_a_megabyte(after) > most_softirq_time * softirq_us_a_megabyte(before);
    const bool helped = !loses_more && !is_dear && (gain >= faster || loses_less);
    return {helped ? Verdict::Kind::keep : Verdict::Kind::roll_back, throughput_text(trial)};
}

std::string verdict_of(const TrialKey& key, const ObjectKey& object, const std::string& why) {
    return is_bystander(key, object) ? "as the queue that it was raised with: " + why : why;
}

std::vector<Evidence> evidence_of(const std::optional<RaisedFlows>& raised) {
    if (!raised) return {};
    return {{"connections", raised->flows},
            {"bytes_per_second_before", raised->before},
            {"bytes_per_second_after", raised->since}};
}

// Of throughput; before is nothing where an earlier run measured it.
std::vector<Evidence> evidence_of(const Measured& before, const Measured& after) {
    if (before.length == Nanoseconds() || after.length == Nanoseconds()) return {};
    const auto rounded = [](double value) { return static_cast<std::uint64_t>(std::llround(value)); };
    return {{"bytes_per_second_before", rounded(bytes_a_second(before))},
            {"bytes_per_second_after", rounded(bytes_a_second(after))},
            {"softirq_us_per_megabyte_before", rounded(softirq_us_a_megabyte(before))},
            {"softirq_us_per_megabyte_after", rounded(softirq_us_a_megabyte(after))},
            {"loss_before_per_1000", per_1000(before)},
            {"loss_after_per_1000", per_1000(after)}};
}

std::vector<Evidence> evidence_of(const TrialKey& key, const Trial& trial, const ObjectKey& object) {
    if (key.minimum || is_by_nothing(key) || is_bystander(key, object)) return {};
    if (is_by_rate(key)) return evidence_of(trial.raised);
    if (is_by_throughput(key)) return evidence_of(trial.before, trial.after);
    return {{"loss_before_per_1000", per_1000(trial.before)},
            {"loss_after_per_1000", per_1000(trial.after)},
            {"demand_before", trial.before.demand},
            {"demand_after", trial.after.demand},
            {"use_after", trial.after.use}};
}

Decision verdict_decision(Decision::Act act, const ObjectKey& object, const Held& held, std::string why,
                          std::vector<Evidence> evidence) {
    return {.act = act,
            .tunable = object.tunable,
            .scope = held.scope,
            .from = held.current,
            .to = held.current,
            .why = std::move(why),
            .evidence = std::move(evidence)};
}

void keep(Gate& gate, const TrialKey& key, const Trial& trial, const ObjectKey& object, std::string why) {
    if (const Held* held = gate.held(object))
        gate.add(verdict_decision(Decision::Act::keep, object, *held, std::move(why), evidence_of(key, trial, object)));
}

// A value that may not go back to what it was stays: something of ours that it bounds, and that is not of this trial,
// could not be set to its own value any more.
std::string reason_to_stay(const Gate& gate, const ObjectKey& object, const Trial& trial, std::uint64_t value) {
    if (const auto min = gate.bounds_of(object).min; min && value < *min) return "the policy's min";
    for (const auto& [other, held] : gate.held_bounded_by(object))
        if (held.current > value && !trial.values.contains(other))
            return object_text(other.tunable, tunables::row(other.tunable).name, held.scope) + " needs it";
    return {};
}

// In the order in which they are lowered, as by `restore`.
std::vector<std::pair<ObjectKey, std::uint64_t>> in_lowering_order(const Trial& trial) {
    std::vector<std::pair<ObjectKey, std::uint64_t>> values(trial.values.rbegin(), trial.values.rend());
    std::ranges::stable_sort(values, {}, [](const auto& each) { return tunables::lowering_rank(each.first.tunable); });
    return values;
}

// What can be taken back now; the rest stays on the list of the trial for later ticks.
void take_back(Gate& gate, const TrialKey& key, Trial& trial) {
    std::vector<ObjectKey> stay;
    for (const auto& [object, value] : in_lowering_order(trial)) {
        const std::string why = reason_to_stay(gate, object, trial, value);
        if (!why.empty()) {
            keep(gate, key, trial, object, why);
            stay.push_back(object);
        } else if (const std::string wait = reason_to_wait(gate, object, value); !wait.empty()) {
            keep(gate, key, trial, object,
                 fmt::format("not rolled back to {} yet, {}: {}", tunables::text_of(object.tunable, value), wait,
                             verdict_of(key, object, trial.verdict)));
            gate.undo_later(object, {.value = value, .why = trial.verdict});
            stay.push_back(object);
        } else {
            gate.take_back(object, value, verdict_of(key, object, trial.verdict), evidence_of(key, trial, object));
        }
    }
    for (const ObjectKey& object : stay) trial.values.erase(object);
}

void back_off(Gate& gate, const TrialKey& key) {
    BackOff& back_off = gate.state().back_offs[key];
    back_off.until = gate.now() + doubled(first_back_off, back_off.roll_backs++, longest_back_off);
}

// What the last interval adds. What was lost for another reason than this limit is not counted; where the next window
// tells, it waits for that.
Measured measured(const Gate& gate, const TrialKey& key, const Reading& reading, Trial& trial, bool mixed) {
    const Measured before = std::exchange(trial.undecided, {});
    const Measured more = measured_for(gate, reading, key.tenant);
    if (mixed) return more;
    if (reading.counts == Counts::no) return {};
    if (more.losses > 0 && reading.counts == Counts::undecided) {
        trial.undecided = more;
        return before;
    }
    return {.losses = before.losses + more.losses,
            .demand = before.demand + more.demand,
            .use = std::max(before.use, more.use),
            .lost_in_flood = before.lost_in_flood + more.lost_in_flood,
            .length = before.length + more.length,
            .bytes = before.bytes + more.bytes,
            .softirq_us = before.softirq_us + more.softirq_us,
            .cpus = more.cpus};
}

// A window that began before the raise mixes what was lost then with what the new limit does; a use that did not fit
// before was of the new limit all the same.
void add(Trial& trial, const Measured& more, bool mixed) {
    if (!mixed || more.use > trial.fitted) trial.after.use = std::max(trial.after.use, more.use);
    if (mixed) return;
    trial.after.losses += more.losses;
    trial.after.demand += more.demand;
    trial.after.lost_in_flood += more.lost_in_flood;
    trial.after.length += more.length;
    trial.after.bytes += more.bytes;
    trial.after.softirq_us += more.softirq_us;
}

// What a tick does not see is not counted for or against it.
void note_behind(Trial& trial, const Reading& reading, const Snapshot& snapshot) {
    const MonoTime now = snapshot.time.mono;
    if (trial.behind_since && !reading.is_pace_seen && now < trial.since + longest_trial) {
        *trial.behind_since += snapshot.interval;
        return;
    }
    trial.behind = reading.behind && reading.behind->waited > trial.fitted ? reading.behind : std::nullopt;
    if (!trial.behind)
        trial.behind_since.reset();
    else if (!trial.behind_since)
        trial.behind_since = now;
}

Verdict judged(const Gate& gate, const TrialKey& key, Trial& trial, const Snapshot& snapshot) {
    if (key.minimum) return {Verdict::Kind::keep, "the policy asks for it"};
    if (is_by_nothing(key))
        return {Verdict::Kind::keep, "no socket that is there takes it: whether it helps is not seen", false};
    const Reading* reading = gate.readings().find(key.object);
    if (reading == nullptr) return {Verdict::Kind::keep, "what it was for is gone"};
    if (reading->raised) trial.raised = reading->raised;
    trial.shows_after = reading->shows_after;
    const auto own = trial.values.find(key.object);
    const bool is_in_force = gate.now() >= trial.last_raise;
    trial.filled |= is_in_force && own != trial.values.end() && reading->in_use > own->second;
    note_behind(trial, *reading, snapshot);
    if (gate.now() < trial.last_raise + trial.shows_after) return {};
    const bool mixed = trial.last_raise > snapshot.time.mono - snapshot.interval;
    add(trial, measured(gate, key, *reading, trial, mixed), mixed);
    return verdict_on(key, trial, snapshot, gate.now());
}

// Whether the trial is over.
bool proceed(Gate& gate, const TrialKey& key, Trial& trial, const Snapshot& snapshot) {
    if (trial.verdict.empty()) {
        const Verdict verdict = judged(gate, key, trial, snapshot);
        if (verdict.kind == Verdict::Kind::open) return false;
        if (verdict.kind == Verdict::Kind::keep) {
            for (const auto& [object, value] : trial.values) {
                keep(gate, key, trial, object, verdict_of(key, object, verdict.why));
                if (const auto held = gate.state().held.find(object); held != gate.state().held.end())
                    held->second.untested = !verdict.is_tested;
            }
            gate.state().back_offs.erase(key);
            return true;
        }
        trial.verdict = verdict.why;
        back_off(gate, key);
    }
    take_back(gate, key, trial);
    return trial.values.empty();
}

// Between two ticks only what has just been looked at, and is judged by that.
bool is_due(const Gate& gate, const TrialKey& key) {
    return gate.snapshot().cause == Snapshot::Cause::tick ||
           (is_by_rate(key) && gate.readings().find(key.object) != nullptr);
}

// An object whose own queue asks for more has shown that what it was granted for another's sake is used: that stays.
void keep_for_another(Gate& gate, const ObjectKey& object, const TrialKey& another) {
    const TrialKey* key = gate.trial_key_of(object);
    if (key == nullptr || *key == another) return;
    auto& trials = gate.state().trials;
    const auto entry = trials.find(*key);
    Trial& trial = entry->second;
    keep(gate, entry->first, trial, object, "more is asked of it since");
    trial.values.erase(object);
    if (trial.values.empty()) trials.erase(entry);
}

} // namespace

void enter_trial(Gate& gate, const ObjectKey& object, const Reason& reason, std::uint64_t from) {
    keep_for_another(gate, object, reason.trial);
    const auto [entry, is_new] = gate.state().trials.try_emplace(reason.trial);
    Trial& trial = entry->second;
    if (is_new) {
        trial.since = gate.now();
        trial.fitted = reason.fitted;
        trial.guards = gate.snapshot().guards;
    }
    if (is_new || reason.cause > trial.cause) {
        trial.cause = reason.cause;
        trial.before = reason.before;
    }
    trial.last_raise = gate.now();
    trial.after = {};
    trial.raised.reset();
    trial.filled = false;
    trial.values.try_emplace(object, from);
    gate.note_trial(object, reason.trial);
}

void begin_window(State& state, const ObjectKey& object, MonoTime now) {
    for (auto& [key, trial] : state.trials)
        if (trial.values.contains(object)) trial.last_raise = std::max(trial.last_raise, now);
}

void end_wait(State& state, const ObjectKey& object, MonoTime now) {
    for (auto& [key, trial] : state.trials)
        if (trial.values.contains(object)) trial.last_raise = std::min(trial.last_raise, now);
}

const Trial* trial_with(const Gate& gate, const ObjectKey& object) {
    const TrialKey* key = gate.trial_key_of(object);
    return key != nullptr ? &gate.state().trials.at(*key) : nullptr;
}

const Trial* trial_with(const State& state, const ObjectKey& object) {
    for (const auto& [key, trial] : state.trials)
        if (trial.values.contains(object)) return &trial;
    return nullptr;
}

void end_trial(Gate& gate, const TrialKey& key, const std::string& why) {
    auto& trials = gate.state().trials;
    const auto trial = trials.find(key);
    if (trial == trials.end() || !trial->second.verdict.empty()) return;
    for (const auto& [object, value] : trial->second.values)
        if (object != key.object) keep(gate, key, trial->second, object, why);
    trials.erase(trial);
}

void leave_trial(Gate& gate, const ObjectKey& object) {
    const TrialKey* key = gate.trial_key_of(object);
    if (key == nullptr) return;
    auto& trials = gate.state().trials;
    const auto entry = trials.find(*key);
    entry->second.values.erase(object);
    if (entry->second.values.empty()) trials.erase(entry);
}

void leave_trial(State& state, const ObjectKey& object) {
    for (auto entry = state.trials.begin(); entry != state.trials.end(); ++entry) {
        if (entry->second.values.erase(object) == 0) continue;
        if (entry->second.values.empty()) state.trials.erase(entry);
        return;
    }
}

Verdict verdict_on(const TrialKey& key, const Trial& trial, const Snapshot& snapshot, MonoTime now) {
    const bool by_rate = is_by_rate(key);
    const bool by_throughput = is_by_throughput(key);
    if (!by_rate && !by_throughput && now < trial.last_raise + trial.shows_after + trial_window) return {};
    // What was hours ago says nothing of what a change has made worse since.
    const bool is_fresh = trial.shows_after <= longest_trial;
    Guards before = trial.guards;
    // Of throughput it is what the raise is for: what each byte takes is compared. What nobody has used takes none.
    const bool is_used = trial.raised || trial.after.use > trial.fitted || trial.after.losses > 0;
    if (by_throughput || !is_used) before.softirq.reset();
    if (!tunables::row(key.object.tunable).takes_udp_memory) before.udp_memory.reset();
    std::string worse = is_fresh ? worsened(before, snapshot.guards, snapshot.memory_bytes) : std::string();
    if (!worse.empty()) return {Verdict::Kind::roll_back, std::move(worse)};
    if (by_rate) return verdict_on_rate(trial, now);
    if (by_throughput) return verdict_on_throughput(trial, now);
    if (trial.after.use > trial.fitted || trial.after.losses > 0) {
        const Verdict verdict = doubted(key, trial, verdict_on_tested(key, trial));
        return verdict.kind == Verdict::Kind::keep && trial.behind ? verdict_on_behind(trial, now) : verdict;
    }
    if (now < trial.since + trial.shows_after + longest_trial) return {};
    return verdict_on_untested(key, trial);
}

void judge_trials(Gate& gate, const Snapshot& snapshot) {
    auto& trials = gate.state().trials;
    for (auto entry = trials.begin(); entry != trials.end();)
        entry = is_due(gate, entry->first) && proceed(gate, entry->first, entry->second, snapshot) ? trials.erase(entry)
                                                                                                   : std::next(entry);
}

} // namespace bpftune::controller

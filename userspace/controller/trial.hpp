// SPDX-License-Identifier: Apache-2.0
// A change is a trial: it stays if it helped, else it is taken back.
//
// Verdict, once the trial window has passed since the last raise:
//
//   cause      kept when                                           else
//   minimum    at once: the policy's word
//   loss       demand returned, and losses per unit of demand are   rolled back
//              at most half of what they were, or a quarter of the
//              demand gets in, and a quarter more than did
//   forecast   use passed what fitted before, and no more were      rolled back
//              lost since than waited at once beyond what fitted
//   any        -                                                    a guard worsened: rolled back
//
// Demand has returned when use passes what fitted before: then the old limit would have lost again. A rate would be
// fooled by a flash sale, which comes once in minutes and is all of the demand. Until then a loss that fell proves
// nothing, and the trial goes on, at most for the longest one. Where demand did not come back in that time
//
//   - a raise for a loss is kept: what is not used costs nothing, and the loss that was seen may come again;
//   - a raise on a forecast is kept if use came past half of what fitted: it would only be made again;
//   - else the forecast was wrong, and it is rolled back.
//
// What waits all the time, more than fitted before and for longer than a burst may, says that a queue is too slowly
// served: it is not kept while that goes on, and rolled back where it has gone on for a trial window. An accept queue
// alone says so (Reading::behind).
//
// What an accept queue loses while SYNs flood it is not counted: they find it full whenever a burst has filled it, at
// any limit. What was lost before the raise is; where that was the flood's as well, the raise is the sooner kept.
//
// What is in use is no reason to keep a raise, but to take it back by steps as it falls: undo.hpp.
//
// A trial that is judged by rate (JudgedBy::rate) asks what became of the connections that it was raised for. Where
// they are faster by a twentieth and fill the new size as well it is kept at once: it holds them back still, and more
// is to come. Else it is kept where they are so much faster after three seconds, and rolled back where they are not, or
// slower after one.
// While the buffer of their other end holds them back it waits for that, for as long as a trial window: a receiver that
// announces more lets the sender find its own limit (a sender whose last packet is never whole goes past it:
// net/ipv4/tcp.c, tcp_sendmsg_locked). Where none could be measured since, it is kept at last: what is not used costs
// nothing.
//
// A trial that is judged by throughput (JudgedBy::throughput) compares the bytes that got through to what it is about,
// before and since, and the packets that the CPUs that it is about lost: kept after a trial window where a twentieth
// more bytes got through in the same time, or half as many packets were lost, and no more of a thousand than before, at
// no more than twice the softirq time for each byte; else rolled back, and at once where of a hundred one more is lost.
// The guard on softirq time does not count: taking more CPUs is what it is for. Nothing is waited for: what does not
// come faster is no gain. Where half of the window could not be measured in the longest time of a trial, it is rolled
// back as well.
//
// A trial that nothing judges (JudgedBy::nothing) is kept at the next tick, as nothing that runs takes the value:
// guards would tell of others. What it is raised for has to be proven before.
//
// Where demand is counted for all like it in a namespace (Tunable::demand_is_shared), a raise that it speaks for is
// kept without a test, unless a look found more in use of the object itself than the value before takes.
//
// What is raised for one tenant alone is judged by that tenant's demand where it is told apart, and what is for the
// node by no loss of tenants': who loses at any limit has no raise of others taken back.
//
// Where a change tells on what is lost only after a while (Reading::shows_after), as a timeout does, nothing is
// measured before, and both windows begin then.
//
// Another raise of the same cause joins the trial, whose window begins anew: the correction after a burst, a demand
// that outgrows the raise, a loss that goes on.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/state.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

class Gate;

// Why a value is changed: what its trial is judged by.
struct Reason {
    TrialKey trial;
    Cause cause = Cause::forecast;
    std::uint64_t fitted = 0;
    Measured before;
};

// An object is about to be raised from `from`: its trial begins or grows.
void enter_trial(Gate& gate, const ObjectKey& object, const Reason& reason, std::uint64_t from);

// The object was written: what the trials that it is part of measure begins now.
void begin_window(State& state, const ObjectKey& object, MonoTime now);

// Nobody waits for an answer any more: a window that was to begin with it begins now.
void end_wait(State& state, const ObjectKey& object, MonoTime now);

// The trial that the object is part of, or nullptr. Without a gate, as between steps, it walks all trials.
const Trial* trial_with(const Gate& gate, const ObjectKey& object);
const Trial* trial_with(const State& state, const ObjectKey& object);

// What a trial was for is not there any more: what is left of it is kept. Not one that is being rolled back.
void end_trial(Gate& gate, const TrialKey& key, const std::string& why);

// The object is no longer part of any trial: gone, someone else's, or not written after all. As above, of the two.
void leave_trial(Gate& gate, const ObjectKey& object);
void leave_trial(State& state, const ObjectKey& object);

// Measures the trials by a tick, or those that are judged by rate by what has been seen of their connections, and ends
// those of which a verdict can be given.
void judge_trials(Gate& gate, const Snapshot& snapshot);

// The verdict on a trial that is neither rolled back nor kept yet.
struct Verdict {
    enum class Kind { open, keep, roll_back };
    Kind kind = Kind::open;
    std::string why;
    bool is_tested = true; // by demand that returned
};
Verdict verdict_on(const TrialKey& key, const Trial& trial, const Snapshot& snapshot, MonoTime now);

} // namespace bpftune::controller

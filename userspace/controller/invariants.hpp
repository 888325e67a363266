// SPDX-License-Identifier: Apache-2.0
// What holds whatever the node does, the kernel answers, and others write: so the controller cannot oscillate.
//
//  1. Bounds: no raise goes past the policy's max, nor past what the kernel takes.
//  2. A value only rises (a set of CPUs, which is not more or less than another, is replaced), except
//      - where a trial takes its own raise back, and then exactly to the value before it, at once or, while what is in
//        use has no room there, by steps as that falls (undo.hpp);
//      - where a part of a raise that no trial is about is given back after a calm of the policy's `shrinkAfter`: by
//        half at most, once in that time, not below the original, the policy's min, or what was in use meanwhile.
//     What someone else lowered is put back exactly to what it was, and only where the policy says reassert; what
//     someone else raised never is.
//  3. No object is changed more than `changes_an_hour` times in any hour. A raise is made only where there is room left
//     for its roll-back too, so that this never keeps a raise that did not help. Of these changes at most
//     `reasserts_an_hour` put a value back over someone else's: then it is theirs. A restart begins to count anew, as
//     it does with the back-offs of 4.
//  4. After a roll-back its scope is left alone for a back-off that doubles, and after `false_forecasts` of them only a
//     loss is reason enough: a demand that comes and goes cannot raise and roll back for ever.
//  5. No raise takes the memory of all raises together past the budget: of each, what its forecast expects to be used,
//     or what is in use, whichever is more (cost.hpp). What grows beyond its forecast is counted, and ends further
//     raises. Nor does one take those of one tenant (tenant.hpp) past its share of the budget, except one object's of
//     a tenant that is raised for itself, and that to three quarters of what others have left of the budget at most.
//     Several who ask at once have their shares together, or these three quarters.
//     One of the node's limits that tenants alone ask for is raised no further than what they have left so pays for if
//     everybody filled it, and only while that and its roll-back are within `changes_an_hour_for_tenants`: the rest is
//     for the node's own demand. Others fill it as well: to the share of who asked it counts towards such limits alone.
//  6. In observe and recommend nothing is written, not even a roll-back. That goes by the lowest of spec, the first
//  entry
//     that matches, and the pod's annotation, of the object as of the socket that a raise is for; with what is not
//     known of a pod, by the lowest that it may be.
//  7. What we hold is known with its original until it has that again, is someone else's, or is gone: `restore` always
//     reaches the originals.
//  8. While a flood lasts, no accept queue is raised past `flood_growth` times the limit that it had when the flood
//     began, nor somaxconn for its sake, and nf_conntrack_max is raised for it once at most, to the next power of two.
//  9. What writes nothing is recorded at most `findings_an_hour_of_netns` times in any hour of one network namespace,
//     but for the node's own limits, which are few. Of one of these the same kind is recorded once an hour, and when
//     what is wished has doubled.
//
// tests/unit/controller/properties_test.cpp holds the controller to each over random traces, and shares_test.cpp to
// what 5 says of tenants alone.
#pragma once

#include <cstdint>

#include "core/time.hpp"

namespace bpftune::controller {

// A raise, its correction and a few more for a ramp, with their roll-back. Seven raises, the last four of them
// fourfold, are more than lies between any limit's default and its max.
inline constexpr std::size_t changes_an_hour = 8;
// Nothing is given back after so many: what is left of them is for the demand that may come.
inline constexpr std::size_t give_backs_an_hour = 4;
// What is done for tenants alone to one of the node's limits leaves room for a raise of the node's own.
inline constexpr std::size_t changes_an_hour_for_tenants = 6;
// Who sets a value at intervals is met three times, and then is right.
inline constexpr std::size_t reasserts_an_hour = 3;
// A demand that outgrew so many raises in a row, each within the pause after the one before, is a ramp, whose end is
// not known: each further raise is by this factor at least.
inline constexpr std::size_t ramp_after = 3;
inline constexpr Nanoseconds ramp_pause = std::chrono::hours(1);
inline constexpr std::uint64_t ramp_factor = 4;
// A raise past its tenant's share leaves the others one of so many parts of what they had left of the budget: a
// quarter.
inline constexpr std::uint64_t parts_with_one_for_others = 4;
// A charge that was not used for so long is released, as far as that.
inline constexpr Nanoseconds release_after = std::chrono::minutes(10);
// Two raises of one object are at least this far apart, so that the first can show its effect; exempt are those that
// answer a loss, correct the first one, or would come too late for a demand that has outgrown it.
inline constexpr Nanoseconds cooldown = std::chrono::seconds(10);

// Findings, which write nothing, that are recorded in any hour: of one network namespace; of all; of each in any case.
// Each is some 1.5 KB of the journal, and a workload can have ever new objects. The last one says that no more follow.
inline constexpr std::size_t findings_an_hour_of_netns = 100;
inline constexpr std::size_t findings_an_hour = 1000;
inline constexpr std::size_t findings_an_hour_in_any_case = 5;

// No verdict before a trial has run for so long since its last raise.
inline constexpr Nanoseconds trial_window = std::chrono::seconds(10);
// A demand that has not returned by then is not waited for.
inline constexpr Nanoseconds longest_trial = std::chrono::minutes(10);
// After a roll-back: doubled by each further one.
inline constexpr Nanoseconds first_back_off = std::chrono::minutes(1);
inline constexpr Nanoseconds longest_back_off = std::chrono::hours(1);
// A scope in which so many raises were rolled back is not raised on a forecast any more.
inline constexpr int false_forecasts = 3;

// How far an accept queue is raised while it is flooded.
inline constexpr std::uint64_t flood_growth = 8;
// A flood that was not seen for so long is over.
inline constexpr Nanoseconds flood_calm = std::chrono::seconds(10);
// One that comes back sooner is the same one.
inline constexpr Nanoseconds flood_memory = std::chrono::hours(1);

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// The controller: a pure function of policy, state, snapshot and time. It reads no clock, no file, and logs nothing.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "policy/policy.hpp"

namespace bpftune::controller {

// What is to be done about `snapshot`, in the order in which it is to be done: what a burst waits for comes first.
// A step assumes that its writes succeed until `settle` says otherwise.
std::vector<Decision> step(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now);

// What became of a write that `step` asked for.
void settle(State& state, const Decision& decision, const Outcome& outcome, MonoTime now);

// There was no answer: it may have been written, or still come to be. Until `settle` says what became of it, nothing
// that is seen of the object is believed, and nothing done about it.
void unanswered(State& state, const Decision& decision, MonoTime now);

// An object that an earlier run of the service holds, from the journal. A trial that it was on begins anew.
struct Adopted {
    TunableId tunable{};
    Scope scope;
    std::uint64_t original = 0;
    std::uint64_t current = 0;
    std::optional<std::uint64_t> before_trial; // nullopt: it was kept
    std::vector<Evidence> evidence;            // of its newest write
    bool undoing = false;                      // a restore has not come to its end: it goes on, and there is no trial
};
void adopt(State& state, const Adopted& adopted, MonoTime now);

// Whether the value that this sysctl has there is ours: another one would be news. `sysctl`: below /proc/sys.
bool holds(const State& state, const NetnsId& netns, std::string_view sysctl);

// The policy was loaded anew: what was yielded or rolled back may be tried again, what was said may be said again.
void reloaded(State& state);

} // namespace bpftune::controller

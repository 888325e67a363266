// SPDX-License-Identifier: Apache-2.0
// The rule for accept queues.
//
// Demand is what waited at the peak plus what was lost because the queue was full, while the application accepted: at
// most two for each connection that it accepted meanwhile, for a SYN alone may be anybody's.
// Size: at least twice the demand, as a power of two. At the first pressure of a burst the demand is not known yet:
// what will have arrived when the queue can be looked at again, at the rate so far, counts as well (where that is not
// seen: four times the limit), and again each time that half of what it was given is outgrown; one correction follows
// when the burst is over. Where bursts outgrew three raises in a row it is not known by how much the next one will:
// four times the limit at least.
//
// A SYN queue may be as long as the accept queue, so a full one that refuses clients is a reason as well: the demand is
// what was under way, and what was refused, at most two for each handshake that was completed meanwhile.
//
// A queue that does not drain is not too short (Little's law: what waits is arrival rate times delay; where the
// service rate is below the arrival rate no length suffices, and each place adds delay). It gets a finding, no raise;
// nor is it raised for what a slow application turned away, which comes back in waves for a minute: until a load is
// worked off in time. One that hung, or was stopped, is believed again as soon as its queue has drained.
//
// One that waits where the application asked for room for one at most is no pressure: only a loss is.
#pragma once

#include "controller/gate.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

enum class Drain {
    bursts, // it fills and empties: length helps
    stuck,  // it stayed more than half full through the window: length only adds delay
    unsure, // filling slowly, which the tick will tell, or only working off what came before
};

// How the queue behaved in its window.
Drain drain_of(const Listener& listener, Snapshot::Cause cause);

// The listener as an object of changes.
Scope scope_of(const Listener& listener);

// What one window of it adds to a trial.
Measured measured_queue(const Listener& listener);

// SYNs of a flood meet it full when bursts fill it, which are worked off; where connections flood it, it stays full.
bool is_flooded_by_syns(const Listener& listener);

// Whether its application accepts nothing to speak of, or did so until the queue drained in this window.
bool is_hung(const State& state, const Listener& listener);

// Whether a tick leaves open why it is filling: a burst that is worked off in time, or not.
bool is_filling(const Listener& listener);

// Handshakes under way that need its limit as what waits does: 0 where a full SYN queue sends cookies.
std::uint32_t handshakes_of(const Listener& listener);

// What one window of it says of how long a queue is needed.
Use use_of(const Listener& listener);

void accept_queue_rule(Gate& gate, const Snapshot& snapshot);

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// Accept queues: net.core.somaxconn of a network namespace, the backlog of each listener, and, of its handshakes,
// net.ipv4.tcp_max_syn_backlog.
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
// what was under way, and what was refused, at most two for each handshake that was completed meanwhile. Where no
// cookies are sent and three quarters of tcp_max_syn_backlog are less than the listener's limit, that is what is
// raised.
//
// A queue that does not drain is not too short (Little's law: what waits is arrival rate times delay; where the
// service rate is below the arrival rate no length suffices, and each place adds delay). It gets a finding, no raise;
// nor is it raised for what a slow application turned away, which comes back in waves for a minute: until a load is
// worked off in time. One that hung, or was stopped, is believed again as soon as its queue has drained.
//
// One that waits where the application asked for room for one at most is no pressure: only a loss is.
#pragma once

#include "controller/resource.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

enum class Drain {
    bursts, // it fills and empties: length helps
    stuck,  // it stayed more than half full through the window: length only adds delay
    unsure, // filling slowly, which the tick will tell, or only working off what came before
};

// How the queue behaved in its window.
Drain drain_of(const Listener& listener, Snapshot::Cause cause);

namespace queues {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
void forget_demand(State& state, const ObjectKey& object, Forget what);
void forget_gone(State& state, const Readings& readings);
} // namespace queues

inline constexpr Resource accept_queue{.read = queues::read,
                                       .rule = queues::rule,
                                       .show = queues::show,
                                       .forget_demand = queues::forget_demand,
                                       .forget_gone = queues::forget_gone};

} // namespace bpftune::controller

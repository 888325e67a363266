// SPDX-License-Identifier: Apache-2.0
// The softirq backlog: net.core.netdev_max_backlog, one number for the node, which each CPU's queue is held to by
// itself; and how much of it one turn of the softirq takes.
//
// A queue that bursts fill is worked off between them, and a longer queue loses less. A CPU to which more comes than it
// could take in all of its time, or whose backlog is never less than half full, is overloaded, and a longer queue would
// only add delay: that is said, and nothing is raised. Which of the two it is three windows of a second or so have to
// agree on (signals/backlogs.hpp).
//
//   size = what fitted + what was lost in the window, as a power of two; twice the limit at least; four times, or the
//   kernel's default, at most
//
// It doubles until no more is lost: a window may have had several bursts, each of which lost a part. Whose packets they
// were is not known, so they are the node's own demand, which an entry of the policy may leave out.
//
// A CPU that has time for all, but whose backlog is half full all the time, is kept from it: what one turn of the
// softirq leaves waits for ksoftirqd, and that for tasks. Where its budget is what ends most turns, in packets
// (net.core.netdev_budget) or in time (net.core.netdev_budget_usecs), both are doubled, on trial.
//
// While it is tried to give the packets to other CPUs (steering.hpp) nothing is raised, for each would answer for what
// the other one did.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace backlogs {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
// Any of the three, and no verdict was given yet.
bool is_on_trial(const State& state, const NetnsId& host);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace backlogs

inline constexpr Resource backlog{.read = backlogs::read, .rule = backlogs::rule, .show = backlogs::show};

} // namespace bpftune::controller

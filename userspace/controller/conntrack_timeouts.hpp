// SPDX-License-Identifier: Apache-2.0
// How long an entry of the conntrack table outlives its last packet, in each network namespace:
// net.netfilter.nf_conntrack_tcp_timeout_established, _time_wait and _close_wait. The second lever of a table that
// fills: lowered, and only where all of it holds:
//
//   - the table wants a larger nf_conntrack_max (conntrack.hpp), and that may go no further: the policy's max, its mode
//     or memoryBudget forbids it;
//   - a sample shows that a fifth or more of the table are entries of that state which have been idle for longer than
//     live connections need (signals/conntrack_states.hpp);
//   - the policy names it.
//
// Down to what live connections need, and never below. One timeout of a table at a time, the one that shows soonest
// what it comes to first: a loss that two were lowered for would not tell which of them helped. Entries that are there
// keep the timeout that their last packet gave them: it frees nothing at once, so its trial is judged once those that
// began after it can have ended, by what is lost then.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace timeouts {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace timeouts

inline constexpr Resource conntrack_timeouts{.read = timeouts::read, .rule = timeouts::rule, .show = timeouts::show};

} // namespace bpftune::controller

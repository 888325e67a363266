// SPDX-License-Identifier: Apache-2.0
// Fragments: net.ipv4.ipfrag_high_thresh and net.ipv6.ip6frag_high_thresh, of each network namespace.
//
// Fragments wait for the rest of their datagram, up to so many bytes; past it every new datagram's are dropped. The
// kernel counts what failed, for whatever reason, so the table has to be found nearly full as well.
//
//   size = what it is * (1 + arrived / (arrived - failed)), two to four times what it is; four times on a ramp. These
//          are fragments.
//
// Who sends fragments and never the rest fills any limit: where more time out than are put together, or the table
// stands full of others than those that are put together, nothing is raised. One that is smaller than the kernel's own
// was made so by somebody, as against such senders: it is raised only where the policy names it. 0 puts nothing
// together, and stays.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace reassembly {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace reassembly

inline constexpr Resource fragments{.read = reassembly::read, .rule = reassembly::rule, .show = reassembly::show};

} // namespace bpftune::controller

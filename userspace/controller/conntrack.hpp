// SPDX-License-Identifier: Apache-2.0
// The conntrack table: net.netfilter.nf_conntrack_max of the node, and the buckets that follow it.
//
// nf_conntrack_max is one number that is compared with each network namespace's own count, so the fullest one decides.
// At worst everybody fills his table to what that one needed:
//
//   (raised to - original) x bytes of an entry x network namespaces
//
// For the node's own table, which has pods with hostNetwork and what is forwarded, this is told, and what is expected
// is charged. Where tenants alone ask, it has to fit into their shares (Gate::within_shares()).
//
//   size = entries that there will be / 0.7, as a power of two
//
//   inserts unknown     entries + (net growth + drops) a second x 30 s
//   inserts known       in the steady state: entries. While it grows: (inserts + drops) a second x 120 s
//
// Drops are growth that did not get in. Little's law (entries = inserts x mean lifetime) gives the second line; the
// lifetime of what is still growing is bounded by that of TIME_WAIT, the longest state after a close. At 0.7 of the
// limit a burst of half of what is there still fits. Raised when that exceeds the limit, at 0.85 of it, or when a
// packet was dropped or an entry evicted; by a quarter at least, and to four times the limit where it outgrew three
// raises in a row.
//
// Entries that nobody answers are no demand: while most of the table is such and it is these that come, it gets one
// step (controller/flood.hpp). Whether they come a second look tells: before it a forecast waits, and a loss gets one
// step.
//
// Buckets follow so that the average chain (entries / buckets) gets no longer than it was allowed to be, or 1. Where a
// connection is refused because its chain is too long it is they that bind: they alone are raised, to the entries that
// there will be. What clashes is said, and nothing is raised for it.
#pragma once

#include <optional>

#include "controller/gate.hpp"
#include "controller/resource.hpp"

namespace bpftune::controller {
namespace tables {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);

// What a table wants of nf_conntrack_max at a tick; nullopt: nothing, or nothing before a second look at its entries.
std::optional<Wish> wish_of(Gate& gate, const Conntrack& seen);
// What one interval adds to a trial for its sake: connections that began, or found no place.
Measured measured_of(const Conntrack& table, Nanoseconds interval);
} // namespace tables

inline constexpr Resource conntrack{.read = tables::read, .rule = tables::rule, .show = tables::show};

} // namespace bpftune::controller

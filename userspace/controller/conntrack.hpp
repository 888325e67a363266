// SPDX-License-Identifier: Apache-2.0
// The rule for the conntrack table.
//
// nf_conntrack_max is one number that is compared with each network namespace's own count, so the fullest one decides.
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

#include "controller/gate.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

// What one interval of all tables adds to the trial of their limit.
Measured measured_tables(const Gate& gate);

// What one interval of all tables says of how large their limit needs to be.
Use use_of_tables(const Gate& gate);

// The same of the hash chains, which all tables share: what was refused because one was too long.
Measured measured_chains(const Gate& gate);
Use use_of_buckets(const Gate& gate);

void conntrack_rule(Gate& gate, const Snapshot& snapshot);

} // namespace bpftune::controller

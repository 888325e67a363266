// SPDX-License-Identifier: Apache-2.0
// The rule for the conntrack table.
//
// nf_conntrack_max is one number that is compared with each network namespace's own count, so the fullest one decides.
// Size: what is there now and what the present growth adds within the horizon stand at most 70 % filled, as a power of
// two; while packets are dropped, the drops are growth that did not get in. Buckets follow so that the average chain
// (entries / buckets) gets no longer than it was allowed to be, or 1.
#pragma once

#include "controller/gate.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

void conntrack_rule(Gate& gate, const Snapshot& snapshot);

} // namespace bpftune::controller

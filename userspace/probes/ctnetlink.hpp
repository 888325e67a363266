// SPDX-License-Identifier: Apache-2.0
// Conntrack's counters by netlink, for kernels without CONFIG_NF_CONNTRACK_PROCFS.
#pragma once

#include "core/result.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {

// Of the network namespace that the calling thread is in. Same meaning as /proc/net/stat/nf_conntrack.
Result<sys::ConntrackStat> ctnetlink_stat();

} // namespace bpftune::probes

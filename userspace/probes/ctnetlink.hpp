// SPDX-License-Identifier: Apache-2.0
// Conntrack's counters by netlink, for kernels without CONFIG_NF_CONNTRACK_PROCFS.
#pragma once

#include "core/result.hpp"
#include "sys/fd.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {

// Of the network namespace that `socket` (Netlink::netfilter) belongs to. Same meaning as /proc/net/stat/nf_conntrack.
Result<sys::ConntrackStat> ctnetlink_stat(const sys::Fd& socket);

} // namespace bpftune::probes

// SPDX-License-Identifier: Apache-2.0
// Why a connection could not be put into the conntrack table though there was room. Pure.
//
// The kernel counts one number for two causes (net/netfilter/nf_conntrack_core.c, nf_ct_resolve_clash): a source that
// NAT found no free port for, and which keeps one that is taken; and two packets that began one connection at once. The
// entries tell them apart: in the first case those that NAT gave a port fill the range that their ports span. A range
// of one port that one connection holds is seen only where it is the whole table.
#pragma once

#include <cstdint>
#include <string>

#include "probes/readings.hpp"

namespace bpftune::signals {

struct Clash {
    bool nat_exhausted = false;
    std::string sentence =
        "another connection was in the table with the same addresses and ports: two packets began it "
        "at once, or NAT found no free port";
};

// `entries`: in the table that the sample is of.
Clash clash_of(const probes::ConntrackSample& sample, std::uint64_t entries);

} // namespace bpftune::signals

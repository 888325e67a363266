// SPDX-License-Identifier: Apache-2.0
// Who fills a conntrack table: protocol and TCP state of its entries, and how long those have been idle, as a sample
// tells. Pure.
//
// Each packet sets an entry to the timeout of its state, so it has been idle for that timeout less what remains of it
// (net/netfilter/nf_conntrack_core.c, __nf_ct_refresh_acct). Not so
//
//   - an entry whose last packet was not acknowledged, or was sent again too often, or closed its window: it got
//     nf_conntrack_tcp_timeout_unacknowledged or _max_retrans, 5 minutes, where the state's own is longer
//     (nf_conntrack_proto_tcp.c, nf_conntrack_tcp_packet). What has so little left is taken for it, and for busy; it
//     ends by itself soon in any case;
//   - one that got a timeout of its own by a rule (nft `ct timeout`, iptables `CT --timeout`), which is not told apart:
//     it is taken to be idle for longer than it is;
//   - one that was given another timeout of its state, before that was changed: it is taken to be as much busier, or
//     more idle, as that was longer, or shorter.
#pragma once

#include <cstdint>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

// Seconds that no timeout may be below, whatever a namespace's keepalive is.
//
// RFC 5382, REQ-5: an established connection that is idle must not be forgotten in less than 2 hours 4 minutes.
inline constexpr std::uint64_t least_established = 7440;
// As long as Linux itself keeps a socket in TIME_WAIT (include/net/tcp.h, TCP_TIMEWAIT_LEN): its addresses and ports
// are not used again before, and what still comes for it finds its entry. RFC 5382 would have 4 minutes, twice the
// kernel's own default.
inline constexpr std::uint64_t least_time_wait = 60;
// The kernel's own default (nf_conntrack_proto_tcp.c, tcp_timeouts).
inline constexpr std::uint64_t least_close_wait = 60;

// `entries`: in the table that the sample is of. When it was read is for the caller to say.
ConntrackStates states_of(const probes::ConntrackSample& sample, std::uint64_t entries);

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// `from`: the kernel's own, in seconds, or a longer one that is common. `least`: none is made shorter
// (signals/conntrack_states.hpp).
constexpr Tunable row_of(TunableId id, std::string_view name, std::string_view path, std::uint64_t from,
                         std::uint64_t least, std::string_view help, std::string_view risk, std::string_view formula,
                         std::string_view derived, std::string_view assumes) {
    return {
        .id = id,
        .key = name.substr(name.find('.', name.find('.') + 1) + 1),
        .name = name,
        .kind = Kind::netns_sysctl,
        .path = path,
        .counts_down_from = from,
        .kernel_min = 0,
        .kernel_max = from - least,
        .held_at_once = "connections began within a tick",
        .peak_is_unseen = true,
        .default_max = from - least,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none: a shorter one leaves fewer entries",
        .serves = "conntrack.drops",
        .help = help,
        .risk = risk,
        .source = "net/netfilter/nf_conntrack_proto_tcp.c (tcp_timeouts, nf_conntrack_tcp_packet), "
                  "net/netfilter/nf_conntrack_core.c (__nf_ct_refresh_acct)",
        .formula = formula,
        .derived = derived,
        .assumes = assumes,
    };
}

constexpr std::string_view idle_is_known =
    "Entries got the timeout that is in force at their last packet. Rules that give a timeout of their own (nft `ct "
    "timeout`, iptables `CT --timeout`) make entries look idle for longer than they are.";

constexpr std::array rows{
    row_of(
        TunableId::nf_conntrack_tcp_timeout_established, "net.netfilter.nf_conntrack_tcp_timeout_established",
        "net/netfilter/nf_conntrack_tcp_timeout_established", 432000, 7440,
        "Seconds that an established connection stays in the conntrack table without a packet. It is lowered, so a "
        "policy's max is the least. One that is longer than the kernel's 5 days is left alone. Entries that are there "
        "keep theirs until their next packet.",
        "A connection that is alive, idle for longer and without keepalive loses its entry: translated ones (NAT, "
        "Services) break, and so do others where nf_conntrack_tcp_loose is 0 or rules drop what is invalid.",
        "to 2 x net.ipv4.tcp_keepalive_time + tcp_keepalive_intvl x tcp_keepalive_probes seconds of the namespace, at "
        "least 7440; only where the table wants a larger nf_conntrack_max which that may not get, and a fifth or more "
        "of its entries are ESTABLISHED and idle for longer than that",
        "RFC 5382, REQ-5: no less than 2 h 4 min. An end that keeps a connection alive sends something each "
        "tcp_keepalive_time, by default 2 h; twice that is for ends in other namespaces.",
        idle_is_known),
    row_of(
        TunableId::nf_conntrack_tcp_timeout_time_wait, "net.netfilter.nf_conntrack_tcp_timeout_time_wait",
        "net/netfilter/nf_conntrack_tcp_timeout_time_wait", 120, 60,
        "Seconds that a connection stays in the conntrack table after both sides have closed it. It is lowered, so a "
        "policy's max is the least. One that is longer than the kernel's 120 s is left alone.",
        "What comes later than that for a connection that has ended is no part of it any more: INVALID, or a new "
        "entry. RFC 5382 would have 4 minutes.",
        "to 60 s; only where the table wants a larger nf_conntrack_max which that may not get, and a fifth or more of "
        "its entries are in TIME_WAIT for longer than that",
        "Linux keeps a socket in TIME_WAIT for 60 s (include/net/tcp.h, TCP_TIMEWAIT_LEN): before, its addresses and "
        "ports are not used again.",
        idle_is_known),
    row_of(TunableId::nf_conntrack_tcp_timeout_close_wait, "net.netfilter.nf_conntrack_tcp_timeout_close_wait",
           "net/netfilter/nf_conntrack_tcp_timeout_close_wait", 3600, 60,
           "Seconds that a connection which one side has closed stays in the conntrack table without a packet. It is "
           "lowered, so a policy's max is the least. kube-proxy sets an hour, the kernel has 60 s; one that is longer "
           "than "
           "an hour is left alone.",
           "A connection that is half closed, alive and silent for longer than a minute loses its entry: kube-proxy's "
           "hour is for these.",
           "to the kernel's 60 s; only where the table wants a larger nf_conntrack_max which that may not get, and a "
           "fifth or more of its entries are in CLOSE_WAIT and idle for longer than that",
           "In CLOSE_WAIT the other side is done, and the application on this one has not closed its socket: mostly it "
           "never will.",
           idle_is_known),
};

} // namespace

std::span<const Tunable> conntrack_timeout_rows() { return rows; }

} // namespace bpftune::tunables

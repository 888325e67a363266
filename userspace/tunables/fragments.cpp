// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr Tunable row_of(TunableId id, std::string_view key, std::string_view name, std::string_view path,
                         std::string_view low_path, std::string_view help, std::string_view assumes) {
    return {
        .id = id,
        .key = key,
        .name = name,
        .kind = Kind::netns_sysctl,
        .path = path,
        .kernel_min = 0,
        .kernel_max = int_max, // a long; more is nobody's wish
        .unit = Unit::bytes,
        .not_below = low_path, // ip4_frags_ns_ctl_register(), ip6_frags_ns_sysctl_register(): extra1
        .in_use = InUse::lower_limit,
        .room = {.times = 1},
        .held_at_once = "datagrams were put together within a tick",
        .peak_is_unseen = true,
        .default_max = 64ULL << 20,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true, // of one that is smaller than the kernel's own
        .opt_in_where = "where it is less than the kernel's own",
        .unit_bytes = 1,
        .worst_unit_bytes = 1,
        .memory =
            "each byte of it: fragments with what the kernel counts beside them. Charged: all of it. At worst: the "
            "same",
        .serves = "fragments.failed",
        .help = help,
        .risk = "Whoever sends first fragments and never the rest can fill it, for as long as fragments wait.",
        .source = "net/ipv4/inet_fragment.c (inet_frag_create), include/net/inet_frag.h",
        .formula =
            "what it is x (1 + the fragments that came / those of them that found room), 2 x to 4 x what it is, in "
            "quarters of a power of two; 4 x after three raises in a row; only where fragments failed, the table was "
            "found at least three quarters full, in the last 62 s no more datagrams timed out than were put together, "
            "and those of the last interval, at 128 KiB each, can have been what stood in it",
        .derived = "A fragment is refused when the table has more than the limit. What failed for another reason "
                   "(overlapping, malformed, too far apart) is counted with these, so the table has to be found "
                   "nearly full. A datagram of 64 KiB in packets of 1,500 bytes takes 45 x 2,304 bytes of it.",
        .assumes = assumes,
    };
}

constexpr std::array rows{
    row_of(
        TunableId::ipfrag_high_thresh, "ipfrag_high_thresh", "net.ipv4.ipfrag_high_thresh",
        "net/ipv4/ipfrag_high_thresh", "net/ipv4/ipfrag_low_thresh",
        "Bytes that fragments of IPv4 may take while they wait for the rest of their datagram; past it new ones are "
        "dropped. Connection tracking's are among them.",
        "The table is still nearly full at one of the two looks at the ends of an interval: a burst that comes and is "
        "completed between two looks is counted and not raised for."),
    row_of(TunableId::ip6frag_high_thresh, "ip6frag_high_thresh", "net.ipv6.ip6frag_high_thresh",
           "net/ipv6/ip6frag_high_thresh", "net/ipv6/ip6frag_low_thresh",
           "Bytes that fragments of IPv6 may take while they wait for the rest of their datagram; past it new ones are "
           "dropped. Where connections are tracked it puts IPv6 together by itself "
           "(net.netfilter.nf_conntrack_frag6_high_thresh): what it drops is counted nowhere.",
           "As for IPv4."),
};

} // namespace

std::span<const Tunable> fragment_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// What a small packet takes: half a page, as network drivers give one packet, and its struct sk_buff of 256 bytes.
constexpr std::uint64_t packet_bytes = 2048 + 256;
// One that GRO or a local sender has put together is 64 KiB, in 45 segments of 1,448 bytes.
constexpr std::uint64_t large_packet_bytes = 45 * packet_bytes;

constexpr std::array rows{
    Tunable{
        .id = TunableId::netdev_max_backlog,
        .key = "netdev_max_backlog",
        .name = "net.core.netdev_max_backlog",
        .kind = Kind::host_sysctl,
        .path = "net/core/netdev_max_backlog",
        .kernel_min = 0,
        .kernel_max = int_max,
        .held_at_once = "packets came to one CPU in a second",
        .peak_is_unseen = true,
        .default_max = 16384,
        .default_shrink_after = std::nullopt,
        .opt_in = false,
        .unit_bytes = packet_bytes,
        .worst_unit_bytes = large_packet_bytes,
        .sharers = "CPUs",
        .memory =
            "for each packet: half a page and struct sk_buff, 2,304 bytes. Charged: a full backlog of each CPU that "
            "lost packets. At worst: the backlog of every CPU is full of packets of 64 KiB",
        .serves = "softirq.dropped",
        .help =
            "Packets that may wait in each CPU's backlog, between the softirqs that take them: on the way from RPS, "
            "veth and loopback. A network card's own queue is another thing (`ethtool -g`).",
        .risk =
            "A packet waits for those before it: at 10 us each, as behind some hundred firewall rules, 16,384 of them "
            "are 0.16 s.",
        .source = "net/core/dev.c (enqueue_to_backlog)",
        .formula =
            "limit + packets lost in a window of a second or so, as a power of two; at least twice the limit, at "
            "most four times, or the kernel's default of 1,000. Only where all that came, lost or not, would take "
            "less than 90 % of the CPU's time, at the time that a packet took in that window, the one before and "
            "the one after, and at their ends at most half a backlog was found waiting",
        .derived = "What was lost did not fit; a window may have had several bursts, each of which lost a part. The "
                   "default max keeps the wait at 10 us a packet below the least retransmission timeout of TCP, 0.2 s "
                   "(include/net/tcp.h, TCP_RTO_MIN): a packet that waits longer is sent a second time.",
        .assumes = "A packet takes as long as those before it. A CPU that has time for all works its backlog off "
                   "between bursts. As many packets in a second as got through "
                   "before are the same bursts: the most that waits at once is not seen.",
    },
    Tunable{
        .id = TunableId::netdev_budget_usecs,
        .key = "netdev_budget_usecs",
        .name = "net.core.netdev_budget_usecs",
        .kind = Kind::host_sysctl,
        .path = "net/core/netdev_budget_usecs",
        .kernel_min = 0,
        .kernel_max = int_max,
        .default_max = 32000,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none",
        .serves = "softirq.dropped",
        .help = "Microseconds after which one turn of the softirq that receives packets ends.",
        .risk = "Tasks on that CPU wait for as long as a turn lasts.",
        .source = "net/core/dev.c (net_rx_action), kernel/softirq.c (handle_softirqs)",
        .formula =
            "2 x; only where a CPU lost packets of its backlog in a window of a second or so, all that came would "
            "take less than 90 % of its time, more than half a backlog was found waiting, and half of the time that "
            "its packets took was in turns that one of the two ended. net.core.netdev_budget "
            "is raised with it",
        .derived = "What a turn leaves is done by the next, or by ksoftirqd, which tasks may keep waiting: a longer "
                   "turn leaves less. `time_squeeze` also counts turns of which nothing was left, and one queue alone "
                   "does not end a turn: each is polled once in it, for 64 packets (dev_weight).",
        .assumes = "No case has been found in which it helped: it is on trial, and taken back.",
    },
    Tunable{
        .id = TunableId::netdev_budget,
        .key = "netdev_budget",
        .name = "net.core.netdev_budget",
        .kind = Kind::host_sysctl,
        .path = "net/core/netdev_budget",
        .kernel_min = 0,
        .kernel_max = int_max,
        .follows = TunableId::netdev_budget_usecs,
        .binds_with_leader = true,
        .default_max = 4800,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = false, // raised with the one that it follows
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none",
        .serves = "softirq.dropped",
        .help = "Packets after which one turn of the softirq that receives packets ends.",
        .risk = "Tasks on that CPU wait for as long as a turn lasts.",
        .source = "net/core/dev.c (net_rx_action)",
        .formula = "as many a microsecond of net.core.netdev_budget_usecs as before that was raised",
        .derived = "Either ends a turn: raised alone, one would leave it to the other.",
        .assumes = "Whoever set them meant the proportion.",
    },
};

} // namespace

std::span<const Tunable> backlog_rows() { return rows; }

} // namespace bpftune::tunables

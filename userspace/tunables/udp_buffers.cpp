// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::array rows{
    Tunable{
        .id = TunableId::udp_rcvbuf,
        .key = "udp_rcvbuf",
        .name = "udp.rcvbuf",
        .kind = Kind::udp_buffer,
        .path = "",
        .kernel_min = 2304,       // SOCK_MIN_RCVBUF
        .kernel_max = 2147483646, // the option takes half of it, as an int
        .unit = Unit::bytes,
        .granule = 2, // the kernel doubles what it is given
        .in_use = InUse::buffer,
        .room = {.times = 1}, // what waits already stays
        .held_at_once = "datagrams came to its namespace within a tick",
        .peak_is_unseen = true,
        .demand_is_shared = true,
        .takes_udp_memory = true,
        .default_max = 8ULL << 20,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .opt_in_where = "where its application set the size",
        .unit_bytes = 1,
        .worst_unit_bytes = 1,
        .memory = "each byte of it: so much waits in the kernel where a burst fills it. Charged: as much as a burst is "
                  "expected to fill, headroom included. At worst, where the application stops reading: all of it",
        .serves = "udp.overflows",
        .help = "Receive buffer of one running UDP socket, raised on the live socket, whatever net.core.rmem_max says. "
                "One whose application has set no size is covered where the mode allows; naming it allows to go beyond "
                "the size that an application did set (SO_RCVBUF).",
        .risk = "Overrides a choice of the application where it is named. Whoever can send to the socket can fill it.",
        .source = "net/core/sock.c (sk_setsockopt), net/ipv4/udp.c (__udp_enqueue_schedule_skb)",
        .formula = "2 x (what it is + 2304 x the most datagrams that were dropped between two looks, at most twice "
                   "what it is), as a power of two, where three looks or more, while it drops and the two after that, "
                   "found it no more than half full in two thirds of them",
        .derived = "What is dropped of a burst is what did not fit beside what did. A datagram of 1,000 bytes takes "
                   "2304 of the buffer. What fitted vouches for twice as many: whoever sprays datagrams at a socket "
                   "gains no more by a raise.",
        .assumes = "The next burst is at most twice the last, and another one comes within a minute of it: those that "
                   "come less often are seen and not raised for. Who reads empties the buffer between two bursts.",
    },
};

} // namespace

std::span<const Tunable> udp_buffer_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t clients_and_servers = 3;

constexpr std::array rows{
    Tunable{
        .id = TunableId::tcp_fastopen,
        .key = "tcp_fastopen",
        .name = "net.ipv4.tcp_fastopen",
        .kind = Kind::netns_sysctl,
        .path = "net/ipv4/tcp_fastopen",
        .kernel_min = 0,
        .kernel_max = int_max,
        .is_bits = true,
        .held_at_once = "connections came with their request within a tick",
        .peak_is_unseen = true,
        .default_max = clients_and_servers,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none by itself: connections that came so wait in the queue of their listener (TCP_FASTOPEN)",
        .serves = "syn_queue.fastopen_requests",
        .help = "Whether a request may come with the SYN, a round trip sooner: bit 1 for clients, bit 2 for servers. A "
                "server takes one only if its application asks for it as well (TCP_FASTOPEN), so elsewhere it does "
                "nothing.",
        .risk = "A SYN that is sent twice may bring its request twice: for requests of which that changes nothing "
                "(RFC 7413, 2.1), which the application that asks has to know. Some middleboxes drop SYNs with data.",
        .source = "net/ipv4/tcp_fastopen.c (tcp_try_fastopen)",
        .formula = "bit 2 is set, the others stay; only where a listener of the namespace has asked for Fast Open and "
                   "a client asked for its cookie in vain",
        .derived = "Without bit 2 the kernel answers no such client, whatever the listener asked for, but it counts "
                   "them. A client that has a cookie of before is not counted then.",
        .assumes = "The client asked the listener that takes requests so: the kernel counts them by namespace.",
    },
};

} // namespace

std::span<const Tunable> fast_open_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// In the order of what they let be taken: nothing, ports of connections on loopback, any.
constexpr std::array<std::string_view, 3> settings{"0", "2", "1"};

constexpr std::uint64_t longest_delay = 60000; // include/net/tcp.h, TCP_TIMEWAIT_LEN
constexpr std::uint64_t usual_least_delay = 100;

constexpr std::array rows{
    Tunable{
        .id = TunableId::tcp_tw_reuse,
        .key = "tcp_tw_reuse",
        .name = "net.ipv4.tcp_tw_reuse",
        .kind = Kind::netns_sysctl,
        .path = "net/ipv4/tcp_tw_reuse",
        .words = settings,
        .kernel_min = 0,
        .kernel_max = settings.size() - 1,
        .held_at_once = "connects and ends of connections were counted within a tick",
        .peak_is_unseen = true,
        .default_max = settings.size() - 1,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "nothing",
        .serves = "time_wait.ports_exhausted",
        .help = "Whether a connect() may take a port that a connection to the same destination left in TIME_WAIT, a "
                "second after it ended: 1 yes, 2 on loopback alone, which is the kernel's default, 0 no. For those "
                "who connect; it does nothing for a server.",
        .risk = "A packet of the connection before that comes late is told from the new one's by its timestamp alone "
                "(RFC 6191): both ends have to send them (tcp_timestamps).",
        .source = "net/ipv4/tcp_ipv4.c (tcp_twsk_unique)",
        .formula = "1, where connects find no port, at least half of the range is in TIME_WAIT, and "
                   "ip_local_port_range may go no further",
        .derived = "A connection closed from here keeps its port for 60 s (include/net/tcp.h, TCP_TIMEWAIT_LEN); with "
                   "1 for a second, so that one destination gets the whole range each second.",
        .assumes = "What is in TIME_WAIT went to the destination that ran out.",
    },
    Tunable{
        .id = TunableId::tcp_tw_reuse_delay,
        .key = "tcp_tw_reuse_delay",
        .name = "net.ipv4.tcp_tw_reuse_delay",
        .kind = Kind::netns_sysctl,
        .path = "net/ipv4/tcp_tw_reuse_delay",
        .counts_down_from = longest_delay,
        .kernel_min = 0,
        .kernel_max = longest_delay - 1,
        .held_at_once = "connects and ends of connections were counted within a tick",
        .peak_is_unseen = true,
        .default_max = longest_delay - usual_least_delay,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "nothing",
        .serves = "time_wait.ports_exhausted",
        .help = "Milliseconds after which a connect() may take a port in TIME_WAIT, where net.ipv4.tcp_tw_reuse lets "
                "it: 1,000 by default. It is lowered, so a policy's max is the least. Linux 6.14 and later have it.",
        .risk = "A packet of the connection before that is still under way, for longer than this, is told from the new "
                "one's by its timestamp alone (RFC 6191).",
        .source = "net/ipv4/tcp_ipv4.c (tcp_twsk_unique)",
        .formula = "ports of the range / connects wanted a second, half of what it is at most; where connects find no "
                   "port, at least half of the range is in TIME_WAIT, ip_local_port_range may go no further and "
                   "tcp_tw_reuse is 1",
        .derived = "A port can be taken once in this time, so so many of one destination's are free each second. The "
                   "least that a policy allows unless it says so, 100 ms, is longer than most round trips.",
        .assumes = "What is in TIME_WAIT went to the destination that ran out.",
    },
};

} // namespace

std::span<const Tunable> tw_reuse_rows() { return rows; }

} // namespace bpftune::tunables

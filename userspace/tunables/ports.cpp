// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t all_ports = 65536;
// ip_unprivileged_port_start, where nobody has changed it: no range may begin below it
constexpr std::uint64_t least_first = 1024;
constexpr std::uint64_t default_first = 10000;

constexpr std::array rows{
    Tunable{
        .id = TunableId::ip_local_port_range,
        .key = "ip_local_port_range",
        .name = "net.ipv4.ip_local_port_range",
        .kind = Kind::netns_sysctl,
        .path = "net/ipv4/ip_local_port_range",
        .field = 0,
        .counts_down_from = all_ports,
        .kernel_min = 1,
        .kernel_max = all_ports - least_first,
        .held_at_once = "connects and ends of connections were counted within a tick",
        .peak_is_unseen = true,
        .default_max = all_ports - default_first,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true, // of a range that is smaller than the kernel's own
        .opt_in_where = "where the range is narrower than the kernel's own",
        .unit_bytes = 256,
        .worst_unit_bytes = 256,
        .sharers = "destinations",
        .memory = "for each port: a socket in TIME_WAIT, struct tcp_timewait_sock. At worst: one of every port",
        .serves = "time_wait.ports_exhausted",
        .help =
            "Where the ports begin that a connect() chooses from, for each destination and source address: the first "
            "of "
            "the two numbers. A smaller one is more ports, so a policy's max is the smallest it may go down to. The "
            "second number is left as it is. It never goes past a port that some socket of the namespace listens at, "
            "or that "
            "a UDP socket has. UDP takes ports of the same range, each of its own whatever TCP has.",
        .risk = "A server that is started later may find its port taken by a connection that goes out: the default "
                "max leaves those below 10000 alone. List others in net.ipv4.ip_local_reserved_ports.",
        .source = "net/ipv4/inet_hashtables.c (__inet_hash_connect), net/ipv4/sysctl_net_ipv4.c "
                  "(ipv4_local_port_range)",
        .formula =
            "(connects without a port + ends of connections a second) x 60 s, at least 2 x what there is, down "
            "to 1024 or the next port that is listened at or that a UDP socket has; never in the node's own namespace, "
            "where NodePorts lie below",
        .derived = "A port that is in use to one destination is free for every other one; a connect() tries all of the "
                   "range, half of it first. A connection that was "
                   "closed from here keeps its port for 60 s (include/net/tcp.h, TCP_TIMEWAIT_LEN), so one destination "
                   "gets a sixtieth of the range a second for good. A range that is smaller than the kernel's own was "
                   "made so by somebody.",
        .assumes =
            "The listeners of the namespace are TCP's, those of the last census, half a minute ago at most where there "
            "are very many. UDP sockets are looked at when connects find no port, and not for a policy's min. A bind() "
            "to "
            "port 0 that finds no port is not seen, nor is a UDP socket that finds none: all of a namespace share one "
            "range whatever their destination.",
    },
};

} // namespace

std::span<const Tunable> port_rows() { return rows; }

} // namespace bpftune::tunables

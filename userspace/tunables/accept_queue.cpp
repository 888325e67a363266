// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// Where /sys/kernel/slab does not tell (signals/node.cpp): as 6.18 has them on x86-64. A socket that waits to be
// accepted is struct tcp_sock (2496 bytes for IPv6), its request_sock (320) and 2304 for the first segment of its
// request; at worst its receive buffer is full, tcp_rmem's default.
constexpr std::uint64_t request_sock_bytes = 320;
constexpr std::uint64_t queued_connection_bytes = 2496 + request_sock_bytes + 2304;
constexpr std::uint64_t full_connection_bytes = 2496 + request_sock_bytes + 131072;

// One rule sizes both limits of an accept queue (controller/accept_queue.cpp).
constexpr std::string_view queue_formula =
    "2 x (waiting at the peak of the burst + lost in it, at most 2 for each one accepted), as a power of two; at the "
    "first pressure, while no burst has been seen whole, with what arrives in 20 ms at the rate so far (4 x the limit "
    "where that is not seen), again each time that half of it is outgrown, corrected once when the burst is over; at "
    "least 4 x the limit where three raises in a row were outgrown. In a flood at most 8 x the limit that it had when "
    "the flood began";
constexpr std::string_view queue_derived =
    "What waits when a burst of B connections arrives faster than it is accepted is B less what was accepted "
    "meanwhile. "
    "By Little's law (waiting = arrivals a second x delay) no length suffices where arrivals exceed the service rate: "
    "then nothing is raised.";
constexpr std::string_view queue_assumes =
    "The next burst is at most twice the last. The queue drains: at the observed service rate its peak is worked off "
    "within 0.25 s, far below the second after which a client sends its SYN again (RFC 6298).";

constexpr std::array rows{
    Tunable{
        .id = TunableId::somaxconn,
        .key = "somaxconn",
        .name = "net.core.somaxconn",
        .kind = Kind::netns_sysctl,
        .path = "net/core/somaxconn",
        .kernel_min = 0,
        .kernel_max = int_max,
        .default_max = 65535,
        .default_shrink_after = std::nullopt,
        .opt_in = false,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none by itself, it is a ceiling for listen(): each queue that is raised with it is charged",
        .serves = "listener.overflows",
        .help =
            "Ceiling of every listener's accept queue in its network namespace. A raise for a queue is granted "
            "at once to the running listeners that asked for more; one to the policy's `min` is for those that start "
            "after it, until one of them needs it.",
        .risk = "A server that starts later gets the longer queue that it asks for.",
        .source = "net/socket.c (__sys_listen), net/core/sysctl_net_core.c",
        .formula = queue_formula,
        .derived = queue_derived,
        .assumes = queue_assumes,
    },
    Tunable{
        .id = TunableId::listener_backlog,
        .key = "listener_backlog",
        .name = "listener.backlog",
        .kind = Kind::listener,
        .path = "",
        .kernel_min = 0,
        .kernel_max = int_max,
        .bounded_by = TunableId::somaxconn,
        .in_use = InUse::queue,
        .room = {.times = 2}, // any that arrives beyond its limit is lost
        .spare = 1,           // net/ipv4: sk_acceptq_is_full
        .held_at_once = "waited at once",
        .full_at_value = "{use} connections wait or complete their handshakes: at {value} none of them is lost, but "
                         "every new one until {over} are through",
        .default_max = 16384,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .opt_in_where = "beyond what the application asked for",
        .unit_bytes = queued_connection_bytes,
        .worst_unit_bytes = full_connection_bytes,
        .measured_unit_bytes = &UnitBytes::queued_connection,
        .measured_worst_unit_bytes = &UnitBytes::full_connection,
        .memory =
            "for each connection that waits: struct tcp_sock and its request_sock, in the slabs of this kernel "
            "(`/sys/kernel/slab/TCPv6`, `request_sock_TCPv6`, or those of IPv4 if larger), and 2304 bytes for the "
            "first segment of its request, half a page with its sk_buff. Charged: as many as are expected to wait "
            "at once, headroom included. At worst: every place taken, each with a full receive buffer "
            "(`net.ipv4.tcp_rmem`)",
        .serves = "listener.overflows",
        .help = "Accept queue of one running listener, raised on the live socket. Naming it allows to go beyond what "
                "the application asked for.",
        .risk = "Overrides a choice of the application; connections that wait are not charged to the pod's memory "
                "before accept().",
        .source = "net/ipv4/af_inet.c (__inet_listen_sk)",
        .formula = queue_formula,
        .derived = queue_derived,
        .assumes = queue_assumes,
    },
    Tunable{
        .id = TunableId::tcp_max_syn_backlog,
        .key = "tcp_max_syn_backlog",
        .name = "net.ipv4.tcp_max_syn_backlog",
        .kind = Kind::netns_sysctl,
        .path = "net/ipv4/tcp_max_syn_backlog",
        .kernel_min = 0,
        .kernel_max = int_max,
        .only_if_zero = "net/ipv4/tcp_syncookies",
        .held_at_once = "were under way at once",
        .default_max = 65535,
        .default_shrink_after = std::nullopt,
        .opt_in = false,
        .unit_bytes = request_sock_bytes,
        .worst_unit_bytes = request_sock_bytes,
        .sharers = "listeners",
        .memory = "for each handshake under way: struct tcp_request_sock, 320 bytes for IPv6. Charged: as many as are "
                  "expected at once, headroom included. At worst: all of them, in each listener's SYN queue",
        .serves = "syn_queue.dropped",
        .help =
            "Handshakes that may be under way to one listener where net.ipv4.tcp_syncookies is 0: past three "
            "quarters of it only clients that completed one before are let in, as far as the listener's backlog goes. "
            "With cookies it does nothing, and is not raised.",
        .risk = "Where no cookies are sent, a flood of SYNs holds as many more handshakes for a minute each.",
        .source = "net/ipv4/tcp_input.c (tcp_conn_request)",
        .formula = "4/3 x 2 x (handshakes under way at once x (completed + refused, at most 2 for each completed) / "
                   "completed), as a power of two, once two windows in a row had it full of what can be clients",
        .derived = "Little's law: of as many as come in a round trip a full SYN queue holds those that it let in. Past "
                   "three quarters only peers are let in that completed a handshake before.",
        .assumes = "Handshakes that are completed within 3 s are clients'. Round trips stay what they are.",
    },
};

} // namespace

std::span<const Tunable> accept_queue_rows() { return rows; }

} // namespace bpftune::tunables

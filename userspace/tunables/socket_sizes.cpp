// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// include/net/sock.h, SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF on 64 bits.
constexpr std::uint64_t least_receive = 2304;
constexpr std::uint64_t least_send = 4608;

constexpr std::string_view memory =
    "each byte of it, twice for a max, which the kernel doubles. Charged: the buffers that the sockets need for which "
    "it "
    "was raised, once they are made again. At worst: one socket fills it; how many there will be is not known";
constexpr std::string_view by_min_alone =
    "nothing is charged where a policy's `min` sets it. At worst: one socket fills it; how many there will be is not "
    "known";
constexpr std::array rows{
    Tunable{
        .id = TunableId::rmem_max,
        .key = "rmem_max",
        .name = "net.core.rmem_max",
        .kind = Kind::host_sysctl,
        .path = "net/core/rmem_max",
        .kernel_min = least_receive,
        .kernel_max = int_max,
        .unit = Unit::bytes,
        .judged_by = JudgedBy::nothing,
        .default_max = 16ULL << 20,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 2,
        .worst_unit_bytes = 2,
        .memory = memory,
        .serves = "udp.overflows",
        .help = "Most bytes that SO_RCVBUF gets; the buffer is twice that. It does not bound what TCP grows by itself "
                "(tcp_rmem). It reaches sockets that ask after it: restart the application. TCP's window scale is "
                "chosen by the larger of it and tcp_rmem.",
        .risk = "Any pod may then hold so much for each of its sockets, twice over.",
        .source = "net/core/sock.c (sk_setsockopt), net/ipv4/tcp_output.c (tcp_select_initial_window)",
        .formula = "half of the buffer that a UDP socket needs, as its own raise (udp.rcvbuf) has shown with its queue "
                   "beyond the old buffer, or its bursts where that is not allowed; twice of it for a connection that "
                   "its window holds back; as a power of two",
        .derived = "A buffer of exactly twice this was cut here, or asked for just that. One of before a raise has "
                   "twice the old value, and speaks for no further one. No socket that is there takes a new value, so "
                   "whether a raise helped is not seen: it is kept at once, and put back by restore like any other",
        .assumes = "Whose buffer is exactly twice this would have had more if it could",
    },
    Tunable{
        .id = TunableId::wmem_max,
        .key = "wmem_max",
        .name = "net.core.wmem_max",
        .kind = Kind::host_sysctl,
        .path = "net/core/wmem_max",
        .kernel_min = least_send,
        .kernel_max = int_max,
        .unit = Unit::bytes,
        .judged_by = JudgedBy::nothing,
        .default_max = 16ULL << 20,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 2,
        .worst_unit_bytes = 2,
        .memory = memory,
        .serves = "buffers.sending_at_ceiling",
        .help = "Most bytes that SO_SNDBUF gets; the buffer is twice that. It does not bound what TCP grows by itself "
                "(tcp_wmem). It reaches sockets that ask after it: restart the application.",
        .risk = "Any pod may then hold so much for each of its sockets, twice over.",
        .source = "net/core/sock.c (sk_setsockopt)",
        .formula = "twice of it, where a connection whose send buffer is exactly twice this is held back by that",
        .derived =
            "A buffer of exactly twice this was cut here, or asked for just that. What a connection would fill is not "
            "known, so it goes by steps. No socket that is there takes a new value, so whether a raise helped is "
            "not seen: it is kept at once, and put back by restore like any other",
        .assumes = "Whose buffer is exactly twice this would have had more if it could",
    },
    Tunable{
        .id = TunableId::rmem_default,
        .key = "rmem_default",
        .name = "net.core.rmem_default",
        .kind = Kind::host_sysctl,
        .path = "net/core/rmem_default",
        .kernel_min = least_receive,
        .kernel_max = int_max,
        .unit = Unit::bytes,
        .judged_by = JudgedBy::nothing,
        .default_max = 1ULL << 20,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 1,
        .worst_unit_bytes = 1,
        .memory = memory,
        .serves = "udp.overflows",
        .help = "Receive buffer that UDP and other sockets begin with, in bytes; TCP has its own (tcp_rmem). It "
                "reaches sockets that are made after it, of all pods.",
        .risk = "Every UDP socket of every pod that starts later may hold so much.",
        .source = "net/core/sock.c (sock_init_data)",
        .formula =
            "the buffer that the neediest needs of two or more UDP sockets which set none and whose own raises "
            "(udp.rcvbuf) were kept as less was lost, their queues seen beyond the old buffer, as a power of two",
        .derived =
            "One socket is raised where it is, without a restart; two began with too little. No socket that is there "
            "takes a new value, so whether a raise helped is not seen: it is kept at once, and put back by "
            "restore like any other",
        .assumes = "Sockets that are made later have bursts like those that are there",
    },
    Tunable{
        .id = TunableId::wmem_default,
        .key = "wmem_default",
        .name = "net.core.wmem_default",
        .kind = Kind::host_sysctl,
        .path = "net/core/wmem_default",
        .kernel_min = least_send,
        .kernel_max = int_max,
        .unit = Unit::bytes,
        .judged_by = JudgedBy::nothing,
        .default_max = 1ULL << 20,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 1,
        .worst_unit_bytes = 1,
        .memory = by_min_alone,
        .help = "Send buffer that UDP and other sockets begin with, in bytes; TCP has its own (tcp_wmem). It reaches "
                "sockets that are made after it, of all pods.",
        .risk = "Every UDP socket of every pod that starts later may hold so much.",
        .source = "net/core/sock.c (sock_init_data)",
        .formula = "a policy's `min` alone: nothing that is seen speaks for it",
        .derived =
            "A sender of datagrams whose buffer is full waits, or is told so (EAGAIN): nothing is lost for want of it, "
            "and nothing that the kernel counts tells who waited. A policy's `min` sets it, which is kept and put "
            "back by restore like any other",
        .assumes = "Who names a min knows which application needs so much",
    },
};

} // namespace

std::span<const Tunable> socket_size_rows() { return rows; }

} // namespace bpftune::tunables

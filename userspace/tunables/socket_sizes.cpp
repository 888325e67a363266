// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// include/net/sock.h, SOCK_MIN_RCVBUF and SOCK_MIN_SNDBUF on 64 bits.
constexpr std::uint64_t least_receive = 2304;
constexpr std::uint64_t least_send = 4608;

constexpr std::string_view memory =
    "each byte of it, twice for a max, which the kernel doubles. Charged: nothing, for what later sockets hold is not "
    "known to be due to it. At worst: one socket fills it; how many there will be is not known";
constexpr std::string_view derived =
    "No socket that is there takes a new value, so whether a raise helped is not seen. A policy's `min` sets it, which "
    "is kept and put back by restore like any other";

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
        .default_max = 16ULL << 20,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .unit_bytes = 2,
        .worst_unit_bytes = 2,
        .memory = memory,
        .help = "Most bytes that SO_RCVBUF gets; the buffer is twice that. It does not bound what TCP grows by itself "
                "(tcp_rmem). It reaches sockets that ask after it: restart the application. TCP's window scale is "
                "chosen by the larger of it and tcp_rmem.",
        .risk = "Any pod may then hold so much for each of its sockets, twice over.",
        .source = "net/core/sock.c (sk_setsockopt), net/ipv4/tcp_output.c (tcp_select_initial_window)",
        .formula = "not raised for anything that is seen. Advised: half of the buffer that udp.rcvbuf would give a "
                   "socket whose buffer is exactly twice this, as a power of two",
        .derived = derived,
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
        .default_max = 16ULL << 20,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .unit_bytes = 2,
        .worst_unit_bytes = 2,
        .memory = memory,
        .help = "Most bytes that SO_SNDBUF gets; the buffer is twice that. It does not bound what TCP grows by itself "
                "(tcp_wmem). It reaches sockets that ask after it: restart the application.",
        .risk = "Any pod may then hold so much for each of its sockets, twice over.",
        .source = "net/core/sock.c (sk_setsockopt)",
        .formula = "not raised for anything that is seen, and nothing that is seen speaks for it",
        .derived = derived,
        .assumes = "Who names a min knows which application asks for so much",
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
        .default_max = 1ULL << 20,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .unit_bytes = 1,
        .worst_unit_bytes = 1,
        .memory = memory,
        .help = "Receive buffer that UDP and other sockets begin with, in bytes; TCP has its own (tcp_rmem). It "
                "reaches sockets that are made after it, of all pods.",
        .risk = "Every UDP socket of every pod that starts later may hold so much.",
        .source = "net/core/sock.c (sock_init_data)",
        .formula = "not raised for anything that is seen. Advised: the buffer that udp.rcvbuf would give the neediest "
                   "of two or more UDP sockets that set none, as a power of two",
        .derived = derived,
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
        .default_max = 1ULL << 20,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .unit_bytes = 1,
        .worst_unit_bytes = 1,
        .memory = memory,
        .help = "Send buffer that UDP and other sockets begin with, in bytes; TCP has its own (tcp_wmem). It reaches "
                "sockets that are made after it, of all pods.",
        .risk = "Every UDP socket of every pod that starts later may hold so much.",
        .source = "net/core/sock.c (sock_init_data)",
        .formula = "not raised for anything that is seen, and nothing that is seen speaks for it",
        .derived = derived,
        .assumes = "Who names a min knows which application needs so much",
    },
};

} // namespace

std::span<const Tunable> socket_size_rows() { return rows; }

} // namespace bpftune::tunables

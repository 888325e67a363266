// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t usual_page_bytes = 4096;
// 128 GiB in such pages: the node's memory is what bounds them.
constexpr std::uint64_t default_max = 1ULL << 25;
constexpr std::string_view source =
    "net/core/sock.c (__sk_mem_raise_allocated), net/ipv4/tcp.c (tcp_init_mem, tcp_enter_memory_pressure), "
    "net/ipv4/udp.c (__udp_enqueue_schedule_skb)";
constexpr std::string_view serves = "socket_memory.lost";
constexpr unsigned low = 0;
constexpr unsigned pressure = 1;
constexpr unsigned high = 2;

constexpr Tunable most_row(TunableId id, std::string_view key, std::string_view name, std::string_view path,
                           InUse in_use, std::string_view help, std::string_view formula) {
    return {
        .id = id,
        .key = key,
        .name = name,
        .kind = Kind::host_sysctl,
        .path = path,
        .field = high,
        .kernel_min = 0,
        .kernel_max = int_max, // a long; more is nobody's wish
        .in_use = in_use,
        .room = {.times = 1},
        .held_at_once = "pages were in use",
        .takes_udp_memory = in_use == InUse::udp_memory_pages,
        .default_max = default_max,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .unit_bytes = usual_page_bytes,
        .worst_unit_bytes = usual_page_bytes,
        .measured_unit_bytes = &UnitBytes::page,
        .measured_worst_unit_bytes = &UnitBytes::page,
        .memory =
            "each page of it. Charged: twice what was in use when it was raised, or what is in use now, as far as "
            "it is beyond the old limit. At worst: all of it",
        .serves = serves,
        .help = help,
        .risk = "Sockets of any pod may then take so much more of the node's memory, which is not swapped.",
        .source = source,
        .formula = formula,
        .derived = "The kernel's own are in the proportion 3 : 4 : 6, so twice the first is the old third: what was in "
                   "use at most is below the new first number, where pressure ends. 1.5 times would leave it between "
                   "the two, under the same pressure as before.",
        .assumes =
            "What is held and moves is work; what does not move for 3 s is a leak, or a reader that has stopped.",
    };
}

constexpr Tunable other_row(TunableId id, std::string_view key, std::string_view name, std::string_view path,
                            unsigned field, TunableId most, TunableId next, InUse in_use, std::string_view help,
                            std::string_view risk, std::string_view derived) {
    return {
        .id = id,
        .key = key,
        .name = name,
        .kind = Kind::host_sysctl,
        .path = path,
        .field = field,
        .kernel_min = 0,
        .kernel_max = int_max,
        .follows = most,
        .at_most = next,
        .most_per_unit = int_max,
        .in_use = in_use,
        .default_max = default_max,
        .default_shrink_after = std::nullopt,
        .opt_in = false, // raised with the one that it follows
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none by itself: charged to the third number",
        .serves = serves,
        .help = help,
        .risk = risk,
        .source = source,
        .formula = "as many times what it was as the third number",
        .derived = derived,
        .assumes = "Whoever set them meant the proportion.",
    };
}

constexpr std::string_view later = "Buffers are shrunk later.";
constexpr std::string_view of_pressure =
    "Pressure begins at the second number and ends at the first: raised alone, the third would let more be in use "
    "under the same pressure.";
constexpr std::string_view of_udp =
    "UDP begins to lose at the first number, and loses all at the third: raised alone, the third would cure nothing.";

constexpr std::string_view tcp_path = "net/ipv4/tcp_mem";
constexpr std::string_view udp_path = "net/ipv4/udp_mem";

constexpr std::array rows{
    most_row(TunableId::tcp_mem, "tcp_mem", "net.ipv4.tcp_mem", tcp_path, InUse::tcp_memory_pages,
             "Pages that all TCP sockets of the node may have, the third number of the sysctl: past it packets are "
             "dropped and orphans ended.",
             "2 x; only where it was near its second number for 5 s and came under pressure, not half of it is in "
             "sockets that have not moved for 3 s or that no process holds, twice what the raise adds is available "
             "(MemAvailable), and tasks wait for memory at most 10 % of the time"),
    other_row(TunableId::tcp_mem_pressure, "tcp_mem_pressure", "net.ipv4.tcp_mem.pressure", tcp_path, pressure,
              TunableId::tcp_mem, TunableId::tcp_mem, InUse::tcp_memory_pages,
              "Pages from which on the kernel shrinks the buffers of all TCP sockets: the second number of "
              "net.ipv4.tcp_mem.",
              later, of_pressure),
    other_row(TunableId::tcp_mem_low, "tcp_mem_low", "net.ipv4.tcp_mem.low", tcp_path, low, TunableId::tcp_mem,
              TunableId::tcp_mem_pressure, InUse::tcp_memory_pages,
              "Pages below which TCP that is under pressure recovers: the first number of net.ipv4.tcp_mem.", later,
              of_pressure),
    most_row(TunableId::udp_mem, "udp_mem", "net.ipv4.udp_mem", udp_path, InUse::udp_memory_pages,
             "Pages that all UDP sockets of the node may have, the third number of the sysctl: past it every datagram "
             "is dropped, and past the first number each for a socket in which udp_rmem_min waits.",
             "as net.ipv4.tcp_mem, where it was near its first number and datagrams were dropped for want of memory"),
    other_row(
        TunableId::udp_mem_pressure, "udp_mem_pressure", "net.ipv4.udp_mem.pressure", udp_path, pressure,
        TunableId::udp_mem, TunableId::udp_mem, InUse::udp_memory_pages,
        "The second number of net.ipv4.udp_mem, in pages: the kernel does nothing at it, for UDP has no pressure; "
        "it stays between the other two.",
        "None.", "It keeps its place between the two that do something."),
    other_row(TunableId::udp_mem_low, "udp_mem_low", "net.ipv4.udp_mem.low", udp_path, low, TunableId::udp_mem,
              TunableId::udp_mem_pressure, InUse::udp_memory_pages,
              "Pages past which a datagram is dropped if as much as udp_rmem_min waits in its socket: the first number "
              "of net.ipv4.udp_mem, which is where UDP begins to lose.",
              "Datagrams that nobody reads take more before they are dropped.", of_udp),
};

} // namespace

std::span<const Tunable> socket_memory_rows() { return rows; }

} // namespace bpftune::tunables

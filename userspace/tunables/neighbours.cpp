// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// struct neighbour with its address and what the device keeps in it: a kmalloc-512.
constexpr std::uint64_t entry_bytes = 512;
// Packets that wait for its answer: net.ipv4.neigh.default.unres_qlen_bytes (SK_WMEM_DEFAULT).
constexpr std::uint64_t waiting_bytes = 212992;
constexpr std::uint64_t default_max = 65536;
constexpr std::string_view source = "net/core/neighbour.c (neigh_alloc, neigh_forced_gc, neigh_periodic_work)";
constexpr std::string_view serves = "neighbours.refused";

struct Spelling {
    TunableId id;
    std::string_view key;
    std::string_view name;
    std::string_view path;
};

constexpr Tunable most_row(const Spelling& spelling, InUse in_use, std::string_view held_at_once) {
    return {
        .id = spelling.id,
        .key = spelling.key,
        .name = spelling.name,
        .kind = Kind::host_sysctl,
        .path = spelling.path,
        .kernel_min = 0,
        .kernel_max = int_max,
        .in_use = in_use,
        .room = {.times = 1},
        .held_at_once = held_at_once,
        .default_max = default_max,
        .default_shrink_after = std::nullopt,
        .opt_in = false,
        .unit_bytes = entry_bytes,
        .worst_unit_bytes = entry_bytes + waiting_bytes,
        .memory =
            "for each entry: struct neighbour, 512 bytes. Charged: the entries that there are, and those that are "
            "expected. At worst: each waits for an answer, with 212,992 bytes of packets (`unres_qlen_bytes`)",
        .serves = serves,
        .help =
            "Neighbours that the node may know at once, in all network namespaces together: past it, where none can "
            "make room, packets to new ones are lost.",
        .risk = "Who scans a subnet fills a larger table with more.",
        .source = source,
        .formula =
            "gc_thresh3 + packets lost within some 4 s, as a power of two; at least twice, at most four times "
            "gc_thresh3. Not where half of the neighbours that were asked for in the last 10 s, or more, did not "
            "answer",
        .derived = "What was lost did not fit; a packet is one neighbour, or the same one again. An address at which "
                   "nobody is fails after three probes a second apart (mcast_solicit), so 4 s tell.",
        .assumes = "Who answers is wanted.",
    };
}

constexpr Tunable other_row(const Spelling& spelling, TunableId most, TunableId next, InUse in_use,
                            std::string_view help) {
    return {
        .id = spelling.id,
        .key = spelling.key,
        .name = spelling.name,
        .kind = Kind::host_sysctl,
        .path = spelling.path,
        .kernel_min = 0,
        .kernel_max = int_max,
        .follows = most,
        .at_most = next,
        .most_per_unit = int_max,
        .in_use = in_use,
        .default_max = default_max,
        .default_shrink_after = std::nullopt,
        .opt_in = false,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none by itself: entries are charged to gc_thresh3",
        .serves = serves,
        .help = help,
        .risk = "Entries that are not used any more stay for longer.",
        .source = source,
        .formula = "as far below gc_thresh3 as it was before that was raised",
        .derived = "The kernel's own are an eighth, half and all of 1,024.",
        .assumes = "Whoever set them meant the proportion.",
    };
}

constexpr std::string_view help_of_2 =
    "Entries from which on those that were not confirmed within 5 s make room for new ones, once in 5 s.";
constexpr std::string_view help_of_1 = "Entries up to which none is collected, however long nobody used it.";

constexpr std::array rows{
    most_row({TunableId::neigh_gc_thresh3, "neigh_gc_thresh3", "net.ipv4.neigh.default.gc_thresh3",
              "net/ipv4/neigh/default/gc_thresh3"},
             InUse::arp_entries, "were in the table at once"),
    other_row({TunableId::neigh_gc_thresh2, "neigh_gc_thresh2", "net.ipv4.neigh.default.gc_thresh2",
               "net/ipv4/neigh/default/gc_thresh2"},
              TunableId::neigh_gc_thresh3, TunableId::neigh_gc_thresh3, InUse::arp_entries, help_of_2),
    other_row({TunableId::neigh_gc_thresh1, "neigh_gc_thresh1", "net.ipv4.neigh.default.gc_thresh1",
               "net/ipv4/neigh/default/gc_thresh1"},
              TunableId::neigh_gc_thresh3, TunableId::neigh_gc_thresh2, InUse::arp_entries, help_of_1),
    most_row({TunableId::neigh6_gc_thresh3, "neigh6_gc_thresh3", "net.ipv6.neigh.default.gc_thresh3",
              "net/ipv6/neigh/default/gc_thresh3"},
             InUse::ndisc_entries, "were in the table at once"),
    other_row({TunableId::neigh6_gc_thresh2, "neigh6_gc_thresh2", "net.ipv6.neigh.default.gc_thresh2",
               "net/ipv6/neigh/default/gc_thresh2"},
              TunableId::neigh6_gc_thresh3, TunableId::neigh6_gc_thresh3, InUse::ndisc_entries, help_of_2),
    other_row({TunableId::neigh6_gc_thresh1, "neigh6_gc_thresh1", "net.ipv6.neigh.default.gc_thresh1",
               "net/ipv6/neigh/default/gc_thresh1"},
              TunableId::neigh6_gc_thresh3, TunableId::neigh6_gc_thresh2, InUse::ndisc_entries, help_of_1),
};

} // namespace

std::span<const Tunable> neighbour_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// struct nf_conn is 256 to 320 bytes in its slab, its extensions 128 to 192 in another.
constexpr std::uint64_t conntrack_entry_bytes = 512;

constexpr std::array rows{
    Tunable{
        .id = TunableId::conntrack_max,
        .key = "conntrack_max",
        .name = "net.netfilter.nf_conntrack_max",
        .kind = Kind::host_sysctl,
        .path = "net/netfilter/nf_conntrack_max",
        .alias = "net/nf_conntrack_max",
        .kernel_min = 0,
        .kernel_max = int_max,
        .zero_is_no_limit = true, // __nf_conntrack_alloc
        .in_use = InUse::conntrack_entries,
        .room = {.times = 10, .of = 7}, // at its limit every new connection fails
        .held_at_once = "were in the table at once",
        .full_at_value = "{use} entries are in the fullest table: at {value} every new connection would fail until "
                         "{over} of them have ended",
        .default_max = 4194304,
        .default_shrink_after = std::chrono::hours(24),
        .opt_in = false,
        .unit_bytes = conntrack_entry_bytes,
        .worst_unit_bytes = conntrack_entry_bytes,
        .measured_unit_bytes = &UnitBytes::conntrack_entry,
        .measured_worst_unit_bytes = &UnitBytes::conntrack_entry,
        .memory =
            "for each entry: struct nf_conn in the slab of this kernel (`/sys/kernel/slab/nf_conntrack`), and 128 "
            "bytes for its extensions, struct nf_ct_ext (nf_conntrack_extend.c, NF_CT_EXT_PREALLOC). Charged: what "
            "each network namespace is expected to hold, headroom included. At worst: every network namespace "
            "that has a table fills it, which a tenant's share has to pay for where tenants alone ask for more",
        .serves = "conntrack.drops",
        .help = "Connections that the table may hold: one number for the node, compared with each network namespace's "
                "own count.",
        .risk = "Entries are unswappable kernel memory, and every network namespace may hold that many.",
        .source = "net/netfilter/nf_conntrack_core.c (__nf_conntrack_alloc)",
        .formula = "entries that there will be / 0.7, as a power of two; where they outgrew three raises in a row, "
                   "at least 4 x the limit. Inserts known: in the steady state what is there, while it grows (inserts "
                   "+ losses) a second x 120 s. Unknown: entries + (net growth + losses) a second "
                   "x 30 s. By a quarter at least. While half of the entries are unanswered and it is these that come, "
                   "once, to the next power of two",
        .derived =
            "Little's law: entries = inserts a second x mean lifetime, which in the steady state is entries / "
            "inserts. What still grows has not ended yet: its lifetime is bounded by that of TIME_WAIT, the "
            "longest state after a close (nf_conntrack_proto_tcp.c). At 0.7 of the limit a burst of 0.4 of what is "
            "there still fits.",
        .assumes =
            "What grows are connections that close; long-lived ones are in entries already. Each drop and "
            "each eviction is one connection that found no place. The fullest network namespace stays the fullest.",
    },
    Tunable{
        .id = TunableId::conntrack_buckets,
        .key = "conntrack_buckets",
        .name = "net.netfilter.nf_conntrack_buckets",
        .kind = Kind::host_sysctl,
        .path = "net/netfilter/nf_conntrack_buckets",
        .module_option = "nf_conntrack.hashsize",
        .kernel_min = 1,
        .kernel_max = 16777216,
        .granule = 8192, // nf_ct_alloc_hashtable: of 8 bytes each, as many as fill a page, of 64 KiB at most
        .follows = TunableId::conntrack_max,
        .most_per_unit = 8, // longer chains are seen in each packet's time
        .in_use = InUse::conntrack_entries,
        .held_at_once = "were in the table at once",
        .default_max = 4194304,
        .default_shrink_after = std::chrono::hours(24),
        .opt_in = false,
        .unit_bytes = 8,
        .worst_unit_bytes = 8,
        .memory =
            "for each bucket: a pointer (struct hlist_nulls_head). Charged: all of them, they are allocated at once",
        .serves = "conntrack.drops",
        .help = "Hash buckets of the conntrack table, raised together with nf_conntrack_max so that chains stay short, "
                "and alone where connections are refused because theirs is too long.",
        .risk = "A change rehashes every entry with softirqs off; it is made rarely, in powers of two.",
        .source = "net/netfilter/nf_conntrack_core.c (nf_conntrack_hash_resize)",
        .formula =
            "nf_conntrack_max / chain, as a power of two, where chain = max(1, nf_conntrack_max / buckets) before "
            "the raise. Alone, where a chain was too long: the entries that there will be in all namespaces, as a "
            "power "
            "of two",
        .derived =
            "A lookup walks a chain of entries / buckets on average: a full table has chains no longer than it was "
            "allowed to have.",
        .assumes = "Entries spread evenly over the buckets (the hash is keyed with a secret).",
    },
};

} // namespace

std::span<const Tunable> conntrack_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include "tunables/catalog.hpp"

#include <algorithm>
#include <array>

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t int_max = 2147483647;

// Where /sys/kernel/slab does not tell (signals/node.cpp): as 6.18 has them on x86-64. A socket that waits to be
// accepted is struct tcp_sock (2496 bytes for IPv6), its request_sock (320) and 2304 for the first segment of its
// request; at worst its receive buffer is full, tcp_rmem's default.
constexpr std::uint64_t queued_connection_bytes = 2496 + 320 + 2304;
constexpr std::uint64_t full_connection_bytes = 2496 + 320 + 131072;

// struct nf_conn is 256 to 320 bytes in its slab, its extensions 128 to 192 in another.
constexpr std::uint64_t conntrack_entry_bytes = 512;

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
        .name = "listener.backlog",
        .kind = Kind::listener,
        .path = "",
        .kernel_min = 0,
        .kernel_max = int_max,
        .default_max = 16384,
        .default_shrink_after = std::nullopt,
        .opt_in = true,
        .unit_bytes = queued_connection_bytes,
        .worst_unit_bytes = full_connection_bytes,
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
        .id = TunableId::conntrack_max,
        .name = "net.netfilter.nf_conntrack_max",
        .kind = Kind::host_sysctl,
        .path = "net/netfilter/nf_conntrack_max",
        .alias = "net/nf_conntrack_max",
        .kernel_min = 0, // 0 is no limit at all
        .kernel_max = int_max,
        .default_max = 4194304,
        .default_shrink_after = std::chrono::hours(24),
        .opt_in = false,
        .unit_bytes = conntrack_entry_bytes,
        .worst_unit_bytes = conntrack_entry_bytes,
        .memory =
            "for each entry: struct nf_conn in the slab of this kernel (`/sys/kernel/slab/nf_conntrack`), and 128 "
            "bytes for its extensions, struct nf_ct_ext (nf_conntrack_extend.c, NF_CT_EXT_PREALLOC). Charged: what "
            "each network namespace is expected to hold, headroom included. At worst: every network namespace "
            "that has a table fills it",
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
        .name = "net.netfilter.nf_conntrack_buckets",
        .kind = Kind::host_sysctl,
        .path = "net/netfilter/nf_conntrack_buckets",
        .module_option = "nf_conntrack.hashsize",
        .kernel_min = 1,
        .kernel_max = 16777216,
        .granule = 8192, // nf_ct_alloc_hashtable: of 8 bytes each, as many as fill a page, of 64 KiB at most
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

constexpr bool rows_are_in_order() {
    for (std::size_t i = 0; i < rows.size(); ++i)
        if (static_cast<std::size_t>(rows[i].id) != i) return false;
    return true;
}
static_assert(rows_are_in_order(), "row() indexes by TunableId");

} // namespace

std::span<const Tunable> catalog() { return rows; }

const Tunable& row(TunableId id) { return rows[static_cast<std::size_t>(id)]; }

const Tunable* find(std::string_view name) {
    const auto found = std::ranges::find(rows, name, &Tunable::name);
    return found == rows.end() ? nullptr : &*found;
}

} // namespace bpftune::tunables

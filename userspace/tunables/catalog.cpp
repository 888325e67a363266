// SPDX-License-Identifier: Apache-2.0
#include "tunables/catalog.hpp"

#include <algorithm>
#include <array>

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t int_max = 2147483647;

// A socket that waits to be accepted: struct tcp_sock and what hangs on it, about 2.5 KiB in 6.18, and the first
// segment of its request with its sk_buff, rounded up to a page together.
constexpr std::uint64_t queued_connection_bytes = 4096;

// struct nf_conn is 248 to 256 bytes in its slab, its extensions (nat, timeout, labels) 64 to 256 in another.
constexpr std::uint64_t conntrack_entry_bytes = 512;

// One rule sizes both limits of an accept queue (controller/accept_queue.cpp).
constexpr std::string_view queue_formula =
    "2 x (waiting at the peak of the burst + lost in it), as a power of two; at the first pressure, while no burst has "
    "been seen whole, at least 4 x the limit, corrected once when the burst is over";
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
        .opt_in = false,
        .unit_bytes = 0, // a ceiling for listen(); the queues that use it are counted
        .serves = "listener.overflows",
        .help = "Ceiling of every listener's accept queue in its network namespace. A raise is granted at once to the "
                "running listeners that asked for more.",
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
        .opt_in = true,
        .unit_bytes = queued_connection_bytes,
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
        .kernel_min = 0, // 0 is no limit at all
        .kernel_max = int_max,
        .default_max = 4194304,
        .opt_in = false,
        .unit_bytes = conntrack_entry_bytes,
        .serves = "conntrack.drops",
        .help = "Connections that the table may hold: one number for the node, compared with each network namespace's "
                "own count.",
        .risk = "Entries are unswappable kernel memory, and every network namespace may hold that many.",
        .source = "net/netfilter/nf_conntrack_core.c (__nf_conntrack_alloc)",
        .formula =
            "entries that there will be / 0.7, as a power of two. Inserts known: in the steady state what is there, "
            "while it grows (inserts + drops) a second x 120 s. Unknown: entries + (net growth + drops) a second "
            "x 30 s",
        .derived =
            "Little's law: entries = inserts a second x mean lifetime, which in the steady state is entries / "
            "inserts. What still grows has not ended yet: its lifetime is bounded by that of TIME_WAIT, the "
            "longest state after a close (nf_conntrack_proto_tcp.c). At 0.7 of the limit a burst of 0.4 of what is "
            "there still fits.",
        .assumes = "What grows are connections that close; long-lived ones are in entries already. Each drop is one "
                   "connection that did not get in. The fullest network namespace stays the fullest.",
    },
    Tunable{
        .id = TunableId::conntrack_buckets,
        .name = "net.netfilter.nf_conntrack_buckets",
        .kind = Kind::host_sysctl,
        .path = "net/netfilter/nf_conntrack_buckets",
        .kernel_min = 1,
        .kernel_max = 16777216,
        .default_max = 4194304,
        .opt_in = false,
        .unit_bytes = 8,
        .serves = "conntrack.drops",
        .help = "Hash buckets of the conntrack table, raised together with nf_conntrack_max so that chains stay short.",
        .risk = "A change rehashes every entry with softirqs off; it is made rarely, in powers of two.",
        .source = "net/netfilter/nf_conntrack_core.c (nf_conntrack_hash_resize)",
        .formula =
            "nf_conntrack_max / chain, as a power of two, where chain = max(1, nf_conntrack_max / buckets) before "
            "the raise",
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

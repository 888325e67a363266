// SPDX-License-Identifier: Apache-2.0
#include "signals/sight.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include <fmt/format.h>

#include "signals/catalog.hpp"

namespace bpftune::signals {
namespace {

using enum Sight;

constexpr std::string_view second_listen = "what a second listen() on one socket asked for beyond somaxconn";
constexpr std::string_view shared_ports =
    "which of several listeners on one port (SO_REUSEPORT), or with IP_TRANSPARENT, a connection is for";
constexpr std::string_view by_drops = "whose last ACKs overflowed, where several listeners of a namespace overflow";
constexpr std::string_view other_discards =
    "whose last ACKs overflowed, where several listeners of a namespace overflow or discard others (TCP_DEFER_ACCEPT)";
constexpr std::string_view full_between =
    "SYNs refused in the last quarter of tcp_max_syn_backlog by a queue that was as full between two looks only";
constexpr std::string_view last_quarter = "in the last quarter of tcp_max_syn_backlog; TCPReqQFullDrop is exact";
constexpr std::string_view other_than_syns = "what else was dropped while a SYN queue was as full: it counts as SYNs";
constexpr std::string_view other_causes = "packets without memory or out of sequence: they count as these";
constexpr std::string_view near_limit = "near the limit";
constexpr std::string_view full_table_between =
    "losses of a table that evicts nothing; near the limit packets without memory or out of sequence count as these";
constexpr std::string_view full_or_near = "where it was full between two looks only, or near the limit";
constexpr std::string_view no_arrivals = "where inet_sock_set_state cannot be attached";
constexpr std::string_view only_growth = "inserts, only net growth";
constexpr std::string_view no_process = "namespaces without a process that are bound to no file";

constexpr std::string_view short_flows =
    "flows that end between two looks, and bursts of requests, which fill no buffer for long";
constexpr std::string_view no_descriptor =
    "connections that no descriptor shows (the kernel's own, subflows of MPTCP, on their way between processes)";
constexpr std::string_view other_pace =
    "an application that keeps to half of what the window lets through or more by itself";

constexpr std::string_view between_censuses =
    "what a UDP socket dropped that is closed before a census finds it, and what the kernel's own sockets do (VXLAN)";
constexpr std::string_view closed_beside =
    "where others of the namespace overflow that are closed before they are found: discards may count as these";

constexpr std::string_view own_tables =
    "sockets by state of namespaces with a table of their own (tcp_child_ehash_entries)";

constexpr std::array table{
    Limitation{Rung::fentry, "listener.asked", exact, second_listen},
    Limitation{Rung::fentry, "syn_queue.dropped", estimated, other_than_syns, last_quarter},
    Limitation{Rung::fentry, "syn_queue.other_drops", estimated, other_than_syns, last_quarter},
    Limitation{Rung::fentry, "conntrack.inserts_per_second", exact,
               "the end of nf_conntrack: no module in use can be unloaded (--rung conntrack=tracepoint lets it)"},
    Limitation{Rung::tracepoint, "listener.asked", exact, second_listen},
    Limitation{Rung::tracepoint, "listener.arrivals", estimated, shared_ports},
    Limitation{Rung::tracepoint, "listener.queue_peak", estimated, shared_ports},
    Limitation{Rung::tracepoint, "listener.overflows", estimated, by_drops,
               "where kfree_skb does not tell rx_sk and TCP_LISTEN_OVERFLOW (6.1, 6.12); elsewhere where a listener "
               "discards other packets, and its queue passes half of its limit or it shares its port"},
    Limitation{Rung::tracepoint, "listener.syn_queue", sampled, "how full a SYN queue was between two looks"},
    Limitation{Rung::tracepoint, "syn_queue.dropped", sampled, full_between},
    Limitation{Rung::tracepoint, "syn_queue.other_drops", estimated, full_between},
    Limitation{Rung::tracepoint, "buffers.looked_at", sampled, short_flows},
    Limitation{Rung::tracepoint, "buffers.receiving_held_back", estimated, no_descriptor},
    Limitation{Rung::tracepoint, "buffers.sending_held_back", estimated, other_pace},
    Limitation{Rung::tracepoint, "udp.drops", sampled, between_censuses},
    Limitation{Rung::tracepoint, "udp.overflows", estimated, closed_beside},
    Limitation{Rung::netlink, "listener.netns", exact, no_process},
    Limitation{Rung::netlink, "listener.overflows", estimated, other_discards},
    Limitation{Rung::netlink, "listener.syn_queue", unseen,
               "the SYN queue of a listener, but with tcp_syncookies 0 that of one that has its port alone"},
    Limitation{Rung::netlink, "syn_queue.dropped", sampled, full_between},
    Limitation{Rung::netlink, "syn_queue.other_drops", estimated, full_between},
    Limitation{Rung::netlink, "listener.fastopen_queue", unseen, "who takes requests with a SYN (Fast Open)"},
    Limitation{Rung::netlink, "tcp.close_wait_command", unseen,
               "who leaves connections open that the other end closed"},
    Limitation{Rung::netlink, "listener.asked", unseen, "what listen() asked for", no_arrivals},
    Limitation{Rung::netlink, "listener.asked", exact, second_listen, "where it is attached"},
    Limitation{Rung::netlink, "listener.arrivals", unseen, "completed handshakes", no_arrivals},
    Limitation{Rung::netlink, "listener.queue_peak", sampled, "how full a queue was between two looks", no_arrivals},
    Limitation{Rung::netlink, "listener.flood", sampled, "connections that are never accepted", no_arrivals},
    Limitation{Rung::procfs, "time_wait.netns", exact, no_process},
    Limitation{Rung::procfs, "time_wait.entries", exact, "entries until they end, a minute later",
               "before 0dad4087a86a (5.17)"},
    Limitation{Rung::procfs, "time_wait.ports_exhausted", unseen, "connects that found no local port"},
    Limitation{Rung::procfs, "time_wait.ports_exhausted_command", unseen, ""},
    Limitation{Rung::procfs, "time_wait.ports_exhausted_pid", unseen, ""},
    Limitation{Rung::procfs, "time_wait.ports_exhausted_pod", unseen, ""},
    Limitation{Rung::procfs, "time_wait.local_ports", unseen, ""},
    Limitation{Rung::procfs, "time_wait.tw_reuse", unseen, ""},
    Limitation{Rung::procfs, "time_wait.tw_reuse_delay_ms", unseen, ""},
    Limitation{Rung::procfs, "syn_queue.fastopen", unseen, ""},
    Limitation{Rung::procfs, "fragments.memory", unseen, "fragments"},
    Limitation{Rung::procfs, "fragments.limit", unseen, ""},
    Limitation{Rung::procfs, "fragments.reassembled", unseen, ""},
    Limitation{Rung::procfs, "fragments.failed", unseen, ""},
    Limitation{Rung::procfs, "fragments.timed_out", unseen, ""},
    Limitation{Rung::tracepoint, "tcp.established", exact, own_tables},
    Limitation{Rung::procfs, "tcp.established", unseen, "TCP sockets by state"},
    Limitation{Rung::procfs, "tcp.close_wait", unseen, ""},
    Limitation{Rung::procfs, "tcp.time_wait", unseen, ""},
    Limitation{Rung::procfs, "tcp.syn_sent", unseen, ""},
    Limitation{Rung::procfs, "tcp.syn_recv", unseen, ""},
    Limitation{Rung::procfs, "tcp.fin_wait1", unseen, ""},
    Limitation{Rung::procfs, "tcp.fin_wait2", unseen, ""},
    Limitation{Rung::procfs, "tcp.last_ack", unseen, ""},
    Limitation{Rung::procfs, "tcp.closing", unseen, ""},
    Limitation{Rung::procfs, "socket_memory.pressures", unseen, "losses for want of socket memory"},
    Limitation{Rung::procfs, "socket_memory.lost", unseen, ""},
    Limitation{Rung::tracepoint, "conntrack.inserts_per_second", unseen, only_growth},
    Limitation{Rung::procfs, "conntrack.inserts_per_second", unseen, only_growth},
    Limitation{Rung::netlink, "conntrack.inserts_per_second", unseen, only_growth},
    Limitation{Rung::fentry, "conntrack.unanswered_ratio", estimated, ""}, // by a sample, on every rung
    Limitation{Rung::tracepoint, "conntrack.unanswered_ratio", estimated, ""},
    Limitation{Rung::procfs, "conntrack.unanswered_ratio", estimated, ""},
    Limitation{Rung::netlink, "conntrack.unanswered_ratio", estimated, ""},
    Limitation{Rung::fentry, "conntrack.drops", estimated, other_causes, near_limit},
    Limitation{Rung::tracepoint, "conntrack.drops", estimated, full_table_between, full_or_near},
    Limitation{Rung::procfs, "conntrack.drops", estimated, full_table_between, full_or_near},
    Limitation{Rung::netlink, "conntrack.drops", estimated, full_table_between, full_or_near},
    Limitation{Rung::fentry, "conntrack.clashes", estimated, ""}, // by the same, what they are not is nat_exhausted
    Limitation{Rung::tracepoint, "conntrack.clashes", estimated, ""},
    Limitation{Rung::procfs, "conntrack.clashes", estimated, ""},
    Limitation{Rung::netlink, "conntrack.clashes", estimated, ""},
    Limitation{Rung::fentry, "conntrack.nat_exhausted", estimated, ""},
    Limitation{Rung::tracepoint, "conntrack.nat_exhausted", estimated, ""},
    Limitation{Rung::procfs, "conntrack.nat_exhausted", estimated, ""},
    Limitation{Rung::netlink, "conntrack.nat_exhausted", estimated, ""},
};

bool belongs_to(std::string_view signal, Probe probe) {
    return std::ranges::any_of(catalog(), [&](const Table& each) {
        return each.probe == probe && std::ranges::find(each.signals, signal, &Signal::name) != each.signals.end();
    });
}

} // namespace

std::string_view to_string(Sight sight) {
    switch (sight) {
    case exact: return "exact";
    case sampled: return "at ticks";
    case estimated: return "estimated";
    case unseen: return "not seen";
    }
    std::unreachable();
}

std::span<const Limitation> limitations() { return table; }

Sight sight_of(Rung rung, std::string_view signal) {
    const auto found =
        std::ranges::find_if(table, [&](const Limitation& each) { return each.rung == rung && each.signal == signal; });
    return found == table.end() ? exact : found->sight;
}

std::string described(const probes::Step& step) {
    if (!step.taken) return step.reason;
    std::string text;
    const auto add = [&](std::string_view what) {
        if (what.empty() || text.find(what) != std::string::npos) return; // one cause, several signals
        text += fmt::format("{}{}", text.empty() ? "does not see: " : "; ", what);
    };
    for (const Limitation& each : table)
        if (each.rung == step.rung && each.where.empty() && belongs_to(each.signal, step.probe)) add(each.what);
    add(step.reason);
    return text;
}

} // namespace bpftune::signals

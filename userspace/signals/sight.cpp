// SPDX-License-Identifier: Apache-2.0
#include "signals/sight.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "signals/catalog.hpp"

namespace bpftune::signals {
namespace {

using enum Sight;

constexpr std::string_view shared_ports = "which of several listeners on one port (SO_REUSEPORT) a connection is for";
constexpr std::string_view between_ticks = "how full a queue was between two ticks";

constexpr std::array table{
    Limitation{Rung::tracepoint, "listener.arrivals", estimated, shared_ports},
    Limitation{Rung::tracepoint, "listener.queue_peak", estimated, shared_ports},
    Limitation{Rung::tracepoint, "listener.overflows", estimated,
               "whose last ACKs overflowed where several listeners of a namespace overflow at once",
               "where kfree_skb does not tell rx_sk and TCP_LISTEN_OVERFLOW (6.1, 6.12)"},
    Limitation{Rung::netlink, "listener.queue_peak", sampled, between_ticks},
    Limitation{Rung::netlink, "listener.asked", unseen, "what applications asked for"},
    Limitation{Rung::netlink, "listener.arrivals", unseen, "completed handshakes"},
    Limitation{Rung::netlink, "listener.overflows", estimated,
               "whose overflows they are where several listeners of a namespace overflow at once"},
    Limitation{Rung::procfs, "time_wait.ports_exhausted", unseen, "connects that found no local port"},
    Limitation{Rung::procfs, "time_wait.ports_exhausted_command", unseen, ""},
    Limitation{Rung::procfs, "time_wait.ports_exhausted_pid", unseen, ""},
    Limitation{Rung::procfs, "conntrack.inserts_per_second", unseen, "inserts, only net growth"},
    Limitation{Rung::netlink, "conntrack.inserts_per_second", unseen, "inserts, only net growth"},
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

std::string blind_spots(Probe probe, Rung rung) {
    std::string text;
    for (const Limitation& each : table) {
        if (each.rung != rung || each.what.empty() || !each.where.empty() || !belongs_to(each.signal, probe)) continue;
        if (text.find(each.what) != std::string::npos) continue; // one cause, several signals
        if (!text.empty()) text += "; ";
        text += each.what;
    }
    return text;
}

} // namespace bpftune::signals

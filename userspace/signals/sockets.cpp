// SPDX-License-Identifier: Apache-2.0
#include "signals/sockets.hpp"

#include "core/text.hpp"

namespace bpftune::signals {

void SocketTable::counted(std::span<const probes::NetnsReading> namespaces,
                          const std::optional<std::vector<probes::SocketsReading>>& sockets) {
    states_.clear();
    if (!sockets) return;
    for (const probes::NetnsReading& netns : namespaces)
        if (!netns.own_connections) states_.try_emplace(netns.netns);
    for (const probes::SocketsReading& each : *sockets)
        if (const auto known = states_.find(each.netns); known != states_.end()) known->second = each.states;
}

void SocketTable::held(std::span<const probes::CloseWaitReading> close_waits) {
    holders_.clear();
    for (const probes::CloseWaitReading& each : close_waits) {
        CloseWaitHolder& holder = holders_[each.netns];
        holder = each.holder;
        holder.command = printable(holder.command);
    }
}

void SocketTable::fill(Snapshot& snapshot) const {
    std::map<NetnsId, std::uint64_t> listening;
    for (const Listener& listener : snapshot.listeners) ++listening[listener.netns];
    for (NetnsTcp& row : snapshot.tcp) {
        const auto states = states_.find(row.netns);
        const auto holder = holders_.find(row.netns);
        row.states = states == states_.end() ? std::nullopt : std::optional(states->second);
        row.close_wait_holder = holder == holders_.end() ? std::nullopt : std::optional(holder->second);
        row.listening.reset();
        if (snapshot.source(Probe::listen) != Rung::none) row.listening = listening[row.netns];
    }
}

} // namespace bpftune::signals

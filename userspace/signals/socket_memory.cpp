// SPDX-License-Identifier: Apache-2.0
#include "signals/socket_memory.hpp"

#include <algorithm>
#include <utility>

#include "signals/gain.hpp"

namespace bpftune::signals {
namespace {

using Holders = std::vector<probes::MemoryReading>;

const probes::MemoryReading::Pool& of(const probes::MemoryReading& reading, MemoryPool pool) {
    return pool == MemoryPool::tcp ? reading.tcp : reading.udp;
}

int pid_in(std::span<const probes::NetnsReading> namespaces, const NetnsId& netns) {
    const auto found = std::ranges::find(namespaces, netns, &probes::NetnsReading::netns);
    return found == namespaces.end() ? 0 : found->pid;
}

void add_holders(SocketMemory& row, const std::optional<Holders>& holders,
                 std::span<const probes::NetnsReading> namespaces) {
    row.held_bytes.reset();
    row.still_bytes.reset();
    row.largest.reset();
    if (!holders) return;
    row.held_bytes = row.still_bytes = 0;
    for (const probes::MemoryReading& each : *holders) {
        const auto& held = of(each, row.pool);
        *row.held_bytes += held.held;
        *row.still_bytes += held.still;
        if (held.held > (row.largest ? row.largest->bytes : 0))
            row.largest = {.netns = each.netns,
                           .pid = pid_in(namespaces, each.netns),
                           .pod = std::nullopt,
                           .bytes = held.held,
                           .still_bytes = held.still,
                           .close_wait_bytes = held.close_wait};
    }
}

} // namespace

bool SocketMemoryTable::is_worth_a_look(const PoolReadings& pools) const {
    const auto& [tcp, udp] = pools;
    return (tcp && 2 * tcp->bytes >= tcp->pressure) || (udp && 2 * udp->bytes >= udp->low) ||
           std::ranges::any_of(tracked_, [](const Tracked& pool) { return pool.near_since.has_value(); });
}

SocketMemoryTable::Gains SocketMemoryTable::gains(std::span<const probes::NetnsReading> namespaces) {
    Gains gained;
    std::map<NetnsId, Counters> seen;
    for (const probes::NetnsReading& netns : namespaces) {
        if (!netns.memory) continue;
        const Counters& now = *netns.memory;
        const auto known = last_.find(netns.netns);
        const Counters& before = known != last_.end() ? known->second : now;
        gained.known = true;
        gained.pressures += gain(before.pressures, now.pressures);
        gained.tcp_lost += gain(before.queue_drops, now.queue_drops) + gain(before.aborted, now.aborted);
        if (now.udp_errors)
            gained.udp_lost =
                gained.udp_lost.value_or(0) + gain(before.udp_errors.value_or(*now.udp_errors), *now.udp_errors);
        seen.insert_or_assign(netns.netns, now);
    }
    last_ = std::move(seen);
    return gained;
}

void SocketMemoryTable::count(SocketMemory& row, const Gains& gains) {
    row.window_pressures = row.window_lost = 0;
    if (row.pool == MemoryPool::tcp) {
        if (!gains.known) return;
        row.window_pressures = gains.pressures;
        row.window_lost = row.was_near_limit() ? gains.tcp_lost : 0;
        row.pressures = row.pressures.value_or(0) + row.window_pressures;
    } else {
        if (!gains.udp_lost) return;
        row.window_lost = *gains.udp_lost;
    }
    row.lost = row.lost.value_or(0) + row.window_lost;
}

std::vector<SocketMemory> SocketMemoryTable::update(const PoolReadings& pools,
                                                    std::span<const probes::NetnsReading> namespaces,
                                                    const std::optional<Holders>& holders, MonoTime now) {
    const Gains gained = gains(namespaces);
    std::vector<SocketMemory> rows;
    for (const MemoryPool pool : {MemoryPool::tcp, MemoryPool::udp}) {
        const auto& reading = pools[static_cast<std::size_t>(pool)];
        if (!reading) continue;
        auto& [row, near_since] = tracked_[static_cast<std::size_t>(pool)];
        row.pool = pool;
        row.page_bytes = reading->page;
        row.fullest_bytes = std::max(std::exchange(row.bytes, reading->bytes), reading->bytes);
        row.low_bytes = reading->low;
        row.pressure_bytes = reading->pressure;
        row.high_bytes = reading->high;
        if (!row.was_near_limit()) near_since.reset();
        if (row.was_near_limit() && !near_since) near_since = now;
        row.near_for = near_since ? now - *near_since : Nanoseconds{};
        count(row, gained);
        add_holders(row, holders, namespaces);
        rows.push_back(row);
    }
    return rows;
}

} // namespace bpftune::signals

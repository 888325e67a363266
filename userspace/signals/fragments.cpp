// SPDX-License-Identifier: Apache-2.0
#include "signals/fragments.hpp"

#include <algorithm>
#include <optional>

#include "signals/gain.hpp"

namespace bpftune::signals {
namespace {

using Reading = probes::NetnsReading::Fragments;

// A datagram that times out is counted among the failed ones first (net/ipv4/ip_fragment.c, ip_expire).
std::uint64_t lost(const Reading& reading) { return gain(reading.timed_out, reading.failed); }

bool has_any(const Reading& reading) {
    return reading.memory > 0 || reading.failed > 0 || reading.timed_out > 0 || reading.reassembled > 0;
}

} // namespace

void FragmentTable::count(Tracked& tracked, const Reading& reading) {
    Fragments& row = tracked.row;
    const std::uint64_t most_lost = std::max(tracked.lost, lost(reading));
    row.window_reassembled = gain(tracked.last.reassembled, reading.reassembled);
    row.window_timed_out = gain(tracked.last.timed_out, reading.timed_out);
    row.window_failed = most_lost - tracked.lost;
    row.window_arrived = gain(tracked.last.arrived, reading.arrived);
    row.reassembled += row.window_reassembled;
    row.timed_out += row.window_timed_out;
    row.failed += row.window_failed;
    row.memory_bytes = reading.memory;
    row.fullest_bytes = std::max(tracked.last.memory, reading.memory);
    row.lowest_bytes = std::min(tracked.last.memory, reading.memory);
    row.limit_bytes = reading.limit;
    tracked.lost = most_lost;
    tracked.last = reading;
}

void FragmentTable::remember(Tracked& tracked, MonoTime now) {
    Fragments& row = tracked.row;
    if (tracked.moments.empty()) // before the first of them came
        tracked.moments.push_back(
            {now, row.reassembled - row.window_reassembled, row.timed_out - row.window_timed_out});
    tracked.moments.push_back({now, row.reassembled, row.timed_out});
    while (now - tracked.moments.front().time > Fragments::recent) tracked.moments.pop_front();
    row.recent_reassembled = row.reassembled - tracked.moments.front().reassembled;
    row.recent_timed_out = row.timed_out - tracked.moments.front().timed_out;
}

std::vector<Fragments> FragmentTable::update(std::span<const probes::NetnsReading> namespaces, MonoTime now) {
    std::map<std::pair<NetnsId, Family>, Tracked> seen;
    for (const probes::NetnsReading& netns : namespaces) {
        for (unsigned i = 0; i < netns.fragments.size(); ++i) {
            const auto& reading = netns.fragments[i];
            if (!reading) continue;
            const Family family = i == 0 ? Family::ipv4 : Family::ipv6;
            auto known = tracked_.extract({netns.netns, family});
            Tracked tracked = known ? std::move(known.mapped()) : Tracked{.last = *reading, .lost = lost(*reading)};
            count(tracked, *reading);
            if (has_any(*reading)) remember(tracked, now);
            tracked.row.netns = netns.netns;
            tracked.row.pid = netns.pid;
            tracked.row.family = family;
            seen.insert_or_assign({netns.netns, family}, std::move(tracked));
        }
    }
    tracked_ = std::move(seen);
    std::vector<Fragments> rows;
    for (const auto& [key, tracked] : tracked_)
        if (has_any(tracked.last)) rows.push_back(tracked.row);
    return rows;
}

} // namespace bpftune::signals

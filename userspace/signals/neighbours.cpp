// SPDX-License-Identifier: Apache-2.0
#include "signals/neighbours.hpp"

#include <utility>

#include "signals/gain.hpp"

namespace bpftune::signals {

std::optional<NeighbourLoss> NeighbourTables::told(Table& table, MonoTime now) {
    if (!table.loss || now < table.loss->began + answer_time) return std::nullopt;
    NeighbourLoss loss = *std::exchange(table.loss, std::nullopt);
    loss.length = now - loss.began;
    for (const Interval& each : table.recent) {
        loss.made += each.made;
        loss.unanswered += each.unanswered;
    }
    return loss;
}

NeighbourTable NeighbourTables::row(Table& table, const probes::NeighbourReading& reading, MonoTime now) {
    const sys::NeighbourStat& stat = reading.stat;
    const sys::NeighbourStat last = std::exchange(table.last, stat);
    const MonoTime last_read = std::exchange(table.last_read, now);
    NeighbourTable row{.family = reading.family,
                       .entries = stat.entries,
                       .gc_thresh1 = reading.gc_thresh1,
                       .gc_thresh2 = reading.gc_thresh2,
                       .gc_thresh3 = reading.gc_thresh3,
                       .refused = gain(table.base.table_fulls, stat.table_fulls),
                       .made = gain(table.base.allocs, stat.allocs),
                       .unanswered = gain(table.base.res_failed, stat.res_failed),
                       .window_refused = gain(last.table_fulls, stat.table_fulls),
                       .window_made = gain(last.allocs, stat.allocs)};
    std::erase_if(table.recent, [&](const Interval& each) { return each.end + memory <= now; });
    table.recent.push_back({.end = now, .made = row.window_made, .unanswered = gain(last.res_failed, stat.res_failed)});
    if (row.window_refused > 0) {
        if (!table.loss) table.loss = NeighbourLoss{.began = last_read};
        table.loss->packets += row.window_refused;
    }
    row.lost = told(table, now);
    return row;
}

std::vector<NeighbourTable> NeighbourTables::tick(std::span<const probes::NeighbourReading> readings, MonoTime now) {
    std::vector<NeighbourTable> rows;
    for (const probes::NeighbourReading& reading : readings) {
        const auto [entry, is_new] = tables_.try_emplace(reading.family);
        if (is_new) entry->second = {.base = reading.stat, .last = reading.stat, .last_read = now};
        rows.push_back(row(entry->second, reading, now));
    }
    return rows;
}

} // namespace bpftune::signals

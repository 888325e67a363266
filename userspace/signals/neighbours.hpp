// SPDX-License-Identifier: Apache-2.0
// Neighbour tables by what they refused, and whether the neighbours that fill them answer. Pure.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

// Who scans a subnet fills the table with addresses at which nobody answers, and refuses everyone else's. No counter
// says whose entries they are, but each of these fails a few seconds later; so a loss is told when what was asked for
// before it has had that time.
class NeighbourTables {
public:
    // Three probes a second apart (mcast_solicit, retrans_time_ms), and the tick in which the last one fails.
    static constexpr Nanoseconds answer_time = std::chrono::seconds(4);
    // What filled the table was asked for before it was full.
    static constexpr Nanoseconds memory = std::chrono::seconds(10);

    std::vector<NeighbourTable> tick(std::span<const probes::NeighbourReading> readings, MonoTime now);

private:
    struct Interval {
        MonoTime end;
        std::uint64_t made = 0;
        std::uint64_t unanswered = 0;
    };
    struct Table {
        sys::NeighbourStat base;
        sys::NeighbourStat last;
        MonoTime last_read;
        std::vector<Interval> recent;
        std::optional<NeighbourLoss> loss; // that is not told yet
    };

    static NeighbourTable row(Table& table, const probes::NeighbourReading& reading, MonoTime now);
    static std::optional<NeighbourLoss> told(Table& table, MonoTime now);

    std::map<Family, Table> tables_;
};

} // namespace bpftune::signals

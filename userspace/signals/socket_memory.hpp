// SPDX-License-Identifier: Apache-2.0
// The memory that all TCP sockets share, and all UDP sockets, made of readings. Pure. What is seen for the first time,
// or again, counts from then.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

// A pool as /proc has it: `mem` of TCP or UDP in net/sockstat, and net.ipv4.tcp_mem or udp_mem. Bytes.
struct PoolReading {
    std::uint64_t page = 0;
    std::uint64_t bytes = 0;
    std::uint64_t low = 0;
    std::uint64_t pressure = 0;
    std::uint64_t high = 0;
};
using PoolReadings = std::array<std::optional<PoolReading>, 2>; // by MemoryPool; nullopt: not read

class SocketMemoryTable {
public:
    // Whether who holds it is worth a look: half of a limit is in use, or was near one at the last update.
    [[nodiscard]] bool is_worth_a_look(const PoolReadings& pools) const;

    // Ends the interval. `holders`: nullopt where nobody looked.
    std::vector<SocketMemory> update(const PoolReadings& pools, std::span<const probes::NetnsReading> namespaces,
                                     const std::optional<std::vector<probes::MemoryReading>>& holders, MonoTime now);

private:
    using Counters = probes::NetnsReading::Memory;
    struct Tracked {
        SocketMemory row;
        std::optional<MonoTime> near_since;
    };
    // What all namespaces gained since the last reading.
    struct Gains {
        bool known = false;
        std::uint64_t pressures = 0;
        std::uint64_t tcp_lost = 0;
        std::optional<std::uint64_t> udp_lost; // nullopt: this kernel does not count them
    };

    Gains gains(std::span<const probes::NetnsReading> namespaces);
    static void count(SocketMemory& row, const Gains& gains);

    std::map<NetnsId, Counters> last_;
    std::array<Tracked, 2> tracked_; // by MemoryPool
};

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
// Reassembly of fragments in each network namespace, made of readings. Pure. What is seen for the first time, or again,
// counts from then.
#pragma once

#include <deque>
#include <map>
#include <span>
#include <utility>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

class FragmentTable {
public:
    // Ends the interval. Rows of those where the kernel has counted any since the namespace was made, or where some
    // wait.
    std::vector<Fragments> update(std::span<const probes::NetnsReading> namespaces, MonoTime now);

private:
    struct Moment {
        MonoTime time;
        std::uint64_t reassembled = 0;
        std::uint64_t timed_out = 0;
    };
    struct Tracked {
        Fragments row;
        probes::NetnsReading::Fragments last;
        std::uint64_t lost = 0; // the most that REASMFAILS was ahead of REASMTIMEOUT: one CPU counts both, one by one
        std::deque<Moment> moments; // of Fragments::recent
    };

    static void count(Tracked& tracked, const probes::NetnsReading::Fragments& reading);
    static void remember(Tracked& tracked, MonoTime now);

    std::map<std::pair<NetnsId, Family>, Tracked> tracked_; // by namespace and address family
};

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
// How much is done at once for the bursts of a network namespace. What that costs goes by how many listeners it has:
// whoever has thousands, and a burst at each, would have the service do nothing else. Pure.
#pragma once

#include <algorithm>
#include <map>

#include "core/ids.hpp"
#include "core/time.hpp"
#include "service/cpu_share.hpp"

namespace bpftune::service {

class BurstPace {
public:
    // Of one core, for one namespace, and as much for the looks at all bursts that are under way.
    static constexpr int share = 40;
    // What a namespace may take at one go after it was quiet: the raises of some fifty bursts.
    static constexpr Nanoseconds at_one_go = std::chrono::milliseconds(5);

    // Whether a burst there is acted on now; else it is with the next look at all that are under way.
    [[nodiscard]] bool has_turn(const NetnsId& netns, MonoTime now) const;
    // That took so much CPU time.
    void took(const NetnsId& netns, Nanoseconds cpu, MonoTime now);
    // Those that have been quiet for long enough. To be called now and then.
    void forget(MonoTime now);

    // From a look at all bursts, which took so much CPU time, to the next.
    static constexpr Nanoseconds pause(Nanoseconds cpu, Nanoseconds least) { return std::max(least, share * cpu); }

private:
    struct Turn {
        CpuShare cpu;
        Nanoseconds used{};
        MonoTime next;
    };
    std::map<NetnsId, Turn> turns_;
};

} // namespace bpftune::service

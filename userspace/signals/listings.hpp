// SPDX-License-Identifier: Apache-2.0
// Which namespaces are to be asked for all their listeners, by sock_diag: no descriptor table shows one that is on its
// way between processes, a fixed file of io_uring, or the kernel's own (its NFS server's). A pure value.
#pragma once

#include <map>
#include <set>
#include <span>
#include <vector>

#include "probes/readings.hpp"

namespace bpftune::signals {

class Listings {
public:
    // Of the namespaces that are there. `lost` of one goes by its reading.
    void begin(std::span<const probes::NetnsReading> namespaces, MonoTime now);

    // Cookies of listeners that no process held when their namespace was listed a moment ago, and that has lost nothing
    // since: they are there, as they were.
    [[nodiscard]] const std::set<std::uint64_t>& unheld() const { return unheld_; }

    // Those whose known listeners are missing (sorted) come first, then those that were listed longest ago. None that
    // was listed within a minute and misses nothing.
    [[nodiscard]] std::vector<const probes::NetnsReading*> due(std::span<const probes::NetnsReading> namespaces,
                                                               std::span<const NetnsId> missing, MonoTime now) const;

    // It is listed now; `cookies` of those that no process holds.
    void listed(const probes::NetnsReading& netns, std::vector<std::uint64_t> cookies, MonoTime now);

private:
    struct Listing {
        MonoTime time;
        std::uint64_t lost = 0; // by all listeners of the namespace, ever
        std::vector<std::uint64_t> unheld;
    };

    std::map<NetnsId, Listing> listings_;
    std::set<std::uint64_t> unheld_;
};

} // namespace bpftune::signals

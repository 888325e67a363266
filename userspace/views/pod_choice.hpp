// SPDX-License-Identifier: Apache-2.0
// Which pods have series of their own in /metrics, where all of them would be more than there is room for.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace bpftune::views {

struct PodCandidate {
    std::string_view ns;
    std::string_view name;
    bool gone = false;      // and scraped since: its place is free for one that is there
    double lost = 0;        // packets and connections; the older ones count less
    double fullest = 0;     // its fullest queue or table, 0 to 1
    std::size_t series = 0; // that it would have
    bool has_own = false;   // in: so far; out: from now on
};

// The half of them that lost most always has series, as far as there is room (then those that came nearest to a limit;
// then by name). The other half of the room belongs to whoever is in it, while it is among the first twice as many as
// have room: so series do not come and go with each small change of order. Who lost nothing keeps none who did from it.
// `candidates` is sorted.
void choose_pods(std::vector<PodCandidate>& candidates, std::size_t room);

} // namespace bpftune::views

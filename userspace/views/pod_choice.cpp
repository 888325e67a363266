// SPDX-License-Identifier: Apache-2.0
#include "views/pod_choice.hpp"

#include <algorithm>
#include <span>
#include <tuple>
#include <utility>

namespace bpftune::views {
namespace {

// How many of the first ones have room together.
std::size_t that_fit(std::span<const PodCandidate> sorted, std::size_t room) {
    std::size_t count = 0;
    for (; count < sorted.size() && sorted[count].series <= room; ++count) room -= sorted[count].series;
    return count;
}

} // namespace

void choose_pods(std::vector<PodCandidate>& candidates, std::size_t room) {
    std::ranges::sort(candidates, [](const PodCandidate& a, const PodCandidate& b) {
        return std::tuple(a.gone, b.lost, b.fullest, a.ns, a.name) <
               std::tuple(b.gone, a.lost, a.fullest, b.ns, b.name);
    });
    const std::size_t fitting = that_fit(candidates, room);
    std::vector<bool> had(candidates.size());
    for (std::size_t i = 0; i < candidates.size(); ++i) had[i] = std::exchange(candidates[i].has_own, false);
    const auto take = [&](std::size_t i) {
        PodCandidate& candidate = candidates[i];
        if (candidate.has_own || candidate.series > room) return;
        room -= candidate.series;
        candidate.has_own = true;
    };
    const std::size_t sure = (fitting + 1) / 2;
    for (std::size_t i = 0; i < sure; ++i) take(i);
    for (std::size_t i = sure; i < std::min(2 * fitting, candidates.size()); ++i)
        if (had[i] && !candidates[i].gone) take(i);
    for (std::size_t i = sure; i < candidates.size(); ++i) take(i);
}

} // namespace bpftune::views

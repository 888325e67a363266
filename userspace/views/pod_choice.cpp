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

// How many of the first ones lose something, or did a short while ago.
std::size_t that_lose(std::span<const PodCandidate> sorted) {
    const auto is_quiet = [](const PodCandidate& pod) { return pod.gone || pod.lost < 1; };
    return static_cast<std::size_t>(std::ranges::find_if(sorted, is_quiet) - sorted.begin());
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
    const auto fill = [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < std::min(2 * fitting, end); ++i)
            if (had[i] && !candidates[i].gone) take(i);
        for (std::size_t i = begin; i < end; ++i) take(i);
    };
    const std::size_t lossy = std::max(sure, that_lose(candidates));
    fill(sure, lossy);
    fill(lossy, candidates.size());
}

} // namespace bpftune::views

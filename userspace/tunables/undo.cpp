// SPDX-License-Identifier: Apache-2.0
#include "tunables/undo.hpp"

#include <algorithm>
#include <bit>

#include "tunables/catalog.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t largest = 1ULL << 31; // past what any of them takes, and no product of two overflows

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t granule) {
    return (value + granule - 1) / granule * granule;
}

} // namespace

std::uint64_t room_for(TunableId tunable, std::uint64_t in_use) {
    const auto& [times, of] = row(tunable).room;
    return (std::min(in_use, largest) * times + of - 1) / of;
}

std::uint64_t step_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t needed) {
    if (!is_less(tunable, original, from) || needed <= original) return original;
    return std::min(rounded_up(std::bit_ceil(std::min(needed, largest)), row(tunable).granule), from);
}

std::uint64_t way_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t in_use) {
    return step_back(tunable, from, original, room_for(tunable, in_use));
}

bool is_less(TunableId tunable, std::uint64_t to, std::uint64_t from) {
    if (means_no_limit(tunable, to)) return false;
    return means_no_limit(tunable, from) || to < from;
}

std::uint64_t in_proportion(std::uint64_t value, std::uint64_t to, std::uint64_t of) {
    const std::uint64_t factor = std::min(value, largest);
    return of == 0 ? to : (std::min(to, largest) * factor + of - 1) / of;
}

std::uint64_t following(TunableId tunable, std::uint64_t leader, std::uint64_t original_leader,
                        std::uint64_t original) {
    const Tunable& follower = row(tunable);
    const std::uint64_t proportional = in_proportion(original, leader, original_leader);
    if (follower.binds_with_leader) return std::min(proportional, follower.kernel_max); // of another unit
    const std::uint64_t most = follower.most_per_unit;
    const std::uint64_t least = (leader + most - 1) / most;
    return std::clamp(proportional, std::min(least, leader), leader);
}

} // namespace bpftune::tunables

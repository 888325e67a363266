// SPDX-License-Identifier: Apache-2.0
#include "tunables/undo.hpp"

#include <algorithm>
#include <bit>

#include "tunables/catalog.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t queue_headroom = 2;
constexpr std::uint64_t longest_chain = 8;
constexpr std::uint64_t largest = 1ULL << 31; // past what any of them takes

std::uint64_t rounded_up(std::uint64_t value, std::uint64_t granule) {
    return (value + granule - 1) / granule * granule;
}

} // namespace

std::uint64_t room_for(TunableId tunable, std::uint64_t in_use) {
    const std::uint64_t use = std::min(in_use, largest);
    switch (tunable) {
    case TunableId::listener_backlog: return queue_headroom * use;
    case TunableId::conntrack_max: return (use * 10 + 6) / 7;
    case TunableId::somaxconn:
    case TunableId::conntrack_buckets: return 0;
    }
    return 0;
}

std::uint64_t step_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t needed) {
    if (!is_less(tunable, original, from) || needed <= original) return original;
    return std::min(rounded_up(std::bit_ceil(std::min(needed, largest)), row(tunable).granule), from);
}

std::uint64_t way_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t in_use) {
    return step_back(tunable, from, original, room_for(tunable, in_use));
}

bool is_less(TunableId tunable, std::uint64_t to, std::uint64_t from) {
    if (tunable == TunableId::conntrack_max && (to == 0 || from == 0)) return from == 0 && to != 0;
    return to < from;
}

std::uint64_t buckets_for(std::uint64_t limit, std::uint64_t original_limit, std::uint64_t original_buckets) {
    const std::uint64_t chain =
        std::clamp<std::uint64_t>(original_limit / std::max<std::uint64_t>(1, original_buckets), 1, longest_chain);
    return (limit + chain - 1) / chain;
}

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
// How far a value of ours may go back while something is in use of it: one rule for `restore`, a roll-back, and what is
// given back.
#pragma once

#include <cstdint>

#include "core/change.hpp"

namespace bpftune::tunables {

// The least value under which `in_use` fits with headroom (Tunable::room). 0 for what nothing is in use of by itself.
std::uint64_t room_for(TunableId tunable, std::uint64_t in_use);

// Where a value goes on its way back from `from` to `original`: the original where `in_use` has room there, else the
// next power of two that has, so that what falls slowly takes few steps; `from`: not at all for now.
std::uint64_t way_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t in_use);

// The same for a value that needs at least `needed`.
std::uint64_t step_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t needed);

// Whether `to` holds less than `from`.
bool is_less(TunableId tunable, std::uint64_t to, std::uint64_t from);

// `value` times `of` to `to`, rounded up; `to` where there is no ratio to keep, `of` being 0.
std::uint64_t in_proportion(std::uint64_t value, std::uint64_t to, std::uint64_t of);

// What keeps `tunable`, which was `original`, as it was to the one that it follows (Tunable::follows), which was
// `original_leader` and is `leader` now: the same ratio, at most Tunable::most_per_unit, and no more than `leader`,
// unless it is of another unit (Tunable::binds_with_leader). An `original_leader` of 0 was no limit: one each.
std::uint64_t following(TunableId tunable, std::uint64_t leader, std::uint64_t original_leader, std::uint64_t original);

} // namespace bpftune::tunables

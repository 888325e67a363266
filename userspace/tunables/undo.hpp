// SPDX-License-Identifier: Apache-2.0
// How far a value of ours may go back while something is in use of it: one rule for `restore`, a roll-back, and what is
// given back.
#pragma once

#include <cstdint>

#include "core/change.hpp"

namespace bpftune::tunables {

// The least value under which `in_use` fits with headroom: twice what waits in a queue (any that arrives beyond its
// limit is lost), 10/7 of the entries of the fullest conntrack table (at its limit every new connection fails). 0 for
// what nothing is in use of by itself: somaxconn, which bounds what begins to listen; buckets, whose chains get longer.
std::uint64_t room_for(TunableId tunable, std::uint64_t in_use);

// Where a value goes on its way back from `from` to `original`: the original where `in_use` has room there, else the
// next power of two that has, so that what falls slowly takes few steps; `from`: not at all for now.
std::uint64_t way_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t in_use);

// The same for a value that needs at least `needed`.
std::uint64_t step_back(TunableId tunable, std::uint64_t from, std::uint64_t original, std::uint64_t needed);

// Whether `to` holds less than `from`. Of nf_conntrack_max 0 is no limit at all.
bool is_less(TunableId tunable, std::uint64_t to, std::uint64_t from);

// The buckets that a table of `limit` entries is to keep, which had so many for `original_limit` before us: with chains
// as long as they were, at most 8 (more are seen in each packet's time). Limits of 0 are none: what is in use decides.
std::uint64_t buckets_for(std::uint64_t limit, std::uint64_t original_limit, std::uint64_t original_buckets);

} // namespace bpftune::tunables

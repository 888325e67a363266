// SPDX-License-Identifier: Apache-2.0
#include "tunables/catalog.hpp"

#include <algorithm>

namespace bpftune::tunables {
namespace {

template <class Value> const Tunable* find_by(Value Tunable::* member, const Value& value) {
    const auto found = std::ranges::find(catalog(), value, member);
    return found == catalog().end() ? nullptr : &*found;
}

} // namespace

const Tunable& row(TunableId id) { return catalog()[static_cast<std::size_t>(id)]; }

const Tunable* find(std::string_view name) { return find_by(&Tunable::name, name); }

const Tunable* find_key(std::string_view key) { return find_by(&Tunable::key, key); }

const Tunable* bounded_by(TunableId id) { return find_by(&Tunable::bounded_by, std::optional(id)); }

const Tunable* lesser_of(TunableId id) { return find_by(&Tunable::at_most, std::optional(id)); }

int lowering_rank(TunableId id) {
    const auto after = [](const Tunable* other) { return other != nullptr ? lowering_rank(other->id) + 1 : 0; };
    const Tunable& tunable = row(id);
    const Tunable* leader = tunable.follows && !tunable.at_most ? &row(*tunable.follows) : nullptr;
    return std::max({after(bounded_by(id)), after(lesser_of(id)), after(leader)});
}

bool means_no_limit(TunableId tunable, std::uint64_t value) { return value == 0 && row(tunable).zero_is_no_limit; }

bool is_quantity(TunableId tunable) {
    const Tunable& found = row(tunable);
    return found.counts_down_from == 0 && found.words.empty() && !found.is_bits && !found.is_cpus;
}

} // namespace bpftune::tunables

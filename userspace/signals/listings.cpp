// SPDX-License-Identifier: Apache-2.0
#include "signals/listings.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace bpftune::signals {
namespace {

constexpr Nanoseconds listing_interval = std::chrono::seconds(60);
// A list takes a look into each bucket of the kernel's table, a millisecond in all: where a listener is the kernel's
// for good, each tick would pay for it.
constexpr Nanoseconds unheld_interval = std::chrono::seconds(5);

} // namespace

void Listings::begin(std::span<const probes::NetnsReading> namespaces, MonoTime now) {
    unheld_.clear();
    std::map<NetnsId, Listing> there;
    for (const probes::NetnsReading& netns : namespaces) {
        auto known = listings_.extract(netns.netns);
        if (!known) continue;
        const Listing& last = known.mapped();
        if (last.lost == netns.listen_drops && now - last.time < unheld_interval)
            unheld_.insert(last.unheld.begin(), last.unheld.end());
        there.insert(std::move(known));
    }
    listings_ = std::move(there);
}

std::vector<const probes::NetnsReading*> Listings::due(std::span<const probes::NetnsReading> namespaces,
                                                       std::span<const NetnsId> missing, MonoTime now) const {
    std::vector<std::tuple<bool, MonoTime, const probes::NetnsReading*>> due;
    for (const probes::NetnsReading& netns : namespaces) {
        const bool misses = std::ranges::binary_search(missing, netns.netns);
        const auto last = listings_.find(netns.netns);
        const bool is_known = last != listings_.end();
        if (is_known && !misses && now - last->second.time < listing_interval) continue;
        due.emplace_back(!misses, is_known ? last->second.time : MonoTime(), &netns);
    }
    std::ranges::stable_sort(due, {}, [](const auto& each) { return std::pair(std::get<0>(each), std::get<1>(each)); });
    std::vector<const probes::NetnsReading*> namespaces_due;
    namespaces_due.reserve(due.size());
    for (const auto& each : due) namespaces_due.push_back(std::get<2>(each));
    return namespaces_due;
}

void Listings::listed(const probes::NetnsReading& netns, std::vector<std::uint64_t> cookies, MonoTime now) {
    listings_.insert_or_assign(netns.netns,
                               Listing{.time = now, .lost = netns.listen_drops, .unheld = std::move(cookies)});
}

} // namespace bpftune::signals

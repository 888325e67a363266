// SPDX-License-Identifier: Apache-2.0
#include "controller/cost.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

struct Unit {
    std::uint64_t charged_bytes;
    std::uint64_t worst_bytes;
};

Unit unit_of(TunableId tunable, const UnitBytes& measured) {
    const auto& row = tunables::row(tunable);
    switch (tunable) {
    case TunableId::listener_backlog:
        return {measured.queued_connection.value_or(row.unit_bytes),
                measured.full_connection.value_or(row.worst_unit_bytes)};
    case TunableId::conntrack_max: {
        const std::uint64_t entry = measured.conntrack_entry.value_or(row.unit_bytes);
        return {entry, entry};
    }
    case TunableId::somaxconn:
    case TunableId::conntrack_buckets: break;
    }
    return {row.unit_bytes, row.worst_unit_bytes};
}

std::vector<std::uint64_t> entries_of(const Snapshot& snapshot) {
    std::vector<std::uint64_t> entries;
    entries.reserve(snapshot.conntrack.size());
    for (const Conntrack& table : snapshot.conntrack) entries.push_back(table.entries);
    return entries;
}

} // namespace

std::uint64_t beyond(std::uint64_t original, std::uint64_t limit, const std::vector<std::uint64_t>& uses) {
    std::uint64_t units = 0;
    for (const std::uint64_t use : uses) {
        const std::uint64_t fits = std::min(use, limit);
        if (fits > original) units += fits - original;
    }
    return units;
}

Cost cost_of(TunableId tunable, const Held& held, const Snapshot& snapshot) {
    const Unit unit = unit_of(tunable, snapshot.unit_bytes);
    Cost cost;
    if (tunable == TunableId::conntrack_max) cost.sharers = std::max<std::uint64_t>(snapshot.conntrack.size(), 1);
    // The kernel takes at most 2^31: nothing here wraps.
    const std::uint64_t units = std::max(beyond(held.original, held.current, held.expected), held.used);
    cost.charged_bytes = units * unit.charged_bytes;
    const std::uint64_t places = held.current - std::min(held.current, held.original);
    cost.worst_bytes = places * cost.sharers * unit.worst_bytes;
    return cost;
}

std::string size_text(std::uint64_t bytes) {
    const double kibibytes = static_cast<double>(bytes) / 1024;
    if (kibibytes < 1024) return fmt::format("{:.1f} KiB", kibibytes);
    const double mebibytes = kibibytes / 1024;
    return mebibytes < 1024 ? fmt::format("{:.1f} MiB", mebibytes) : fmt::format("{:.1f} GiB", mebibytes / 1024);
}

std::string to_string(const Cost& cost) {
    return fmt::format("{} (worst case {}{})", size_text(cost.charged_bytes), size_text(cost.worst_bytes),
                       cost.sharers > 1 ? fmt::format(" over {} namespaces", cost.sharers) : "");
}

std::uint64_t charged_bytes(const State& state, const Snapshot& snapshot, const std::optional<ObjectKey>& except) {
    std::uint64_t sum = 0;
    for (const auto& [object, held] : state.held)
        if (object != except) sum += cost_of(object.tunable, held, snapshot).charged_bytes;
    return sum;
}

void note_use(State& state, const Snapshot& snapshot) {
    for (auto& [object, held] : state.held) {
        if (object.tunable == TunableId::conntrack_max && !snapshot.conntrack.empty())
            held.used = beyond(held.original, no_limit, entries_of(snapshot));
        if (object.tunable != TunableId::listener_backlog) continue;
        const auto listener = std::ranges::find(snapshot.listeners, object.listener_cookie, &Listener::cookie);
        if (listener != snapshot.listeners.end() && listener->window.length > Nanoseconds{})
            held.used = listener->window.peak - std::min<std::uint64_t>(listener->window.peak, held.original);
    }
}

} // namespace bpftune::controller

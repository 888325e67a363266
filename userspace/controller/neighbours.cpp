// SPDX-License-Identifier: Apache-2.0
#include "controller/neighbours.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <string_view>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t least_factor = 2;
constexpr std::uint64_t most_factor = 4;
constexpr std::uint64_t headroom = 2;

// A limit of a table, as a snapshot has it.
struct Limit {
    TunableId tunable;
    std::optional<std::uint64_t> NeighbourTable::* value;
    std::optional<std::uint64_t> NeighbourTable::* below; // no more than this one; nullptr: any
};

struct Limits {
    Family family;
    std::string_view name;
    Limit most;                  // gc_thresh3
    std::array<Limit, 2> others; // in the order in which they are raised after it
};

constexpr std::array all_limits{
    Limits{.family = Family::ipv4,
           .name = "ARP",
           .most = {TunableId::neigh_gc_thresh3, &NeighbourTable::gc_thresh3, nullptr},
           .others = {Limit{TunableId::neigh_gc_thresh2, &NeighbourTable::gc_thresh2, &NeighbourTable::gc_thresh3},
                      Limit{TunableId::neigh_gc_thresh1, &NeighbourTable::gc_thresh1, &NeighbourTable::gc_thresh2}}},
    Limits{.family = Family::ipv6,
           .name = "NDISC",
           .most = {TunableId::neigh6_gc_thresh3, &NeighbourTable::gc_thresh3, nullptr},
           .others = {Limit{TunableId::neigh6_gc_thresh2, &NeighbourTable::gc_thresh2, &NeighbourTable::gc_thresh3},
                      Limit{TunableId::neigh6_gc_thresh1, &NeighbourTable::gc_thresh1, &NeighbourTable::gc_thresh2}}},
};

const NeighbourTable* table_of(const Snapshot& snapshot, Family family) {
    const auto found = std::ranges::find(snapshot.neighbours, family, &NeighbourTable::family);
    return found == snapshot.neighbours.end() ? nullptr : &*found;
}

Reading reading_of(const Limit& limit, const NeighbourTable* table, const Snapshot& snapshot) {
    Reading reading{.object = {limit.tunable, snapshot.host}, .read = snapshot.time.mono};
    if (table == nullptr) return reading;
    reading.value = table->*limit.value;
    if (limit.below != nullptr) reading.ceiling = table->*limit.below;
    reading.in_use = table->entries;
    reading.use = {.used = table->entries,
                   .wanted = std::bit_ceil(headroom * table->entries),
                   .pressed = table->window_refused > 0};
    reading.charged = table->entries;
    reading.measured = {
        .losses = table->window_refused, .demand = table->window_made + table->window_refused, .use = table->entries};
    return reading;
}

bool is_unanswered(const NeighbourLoss& loss) { return loss.unanswered > 0 && 2 * loss.unanswered >= loss.made; }

Wish finding_of(const Limits& limits, const NeighbourTable& table, const Snapshot& snapshot, std::string why) {
    const NeighbourLoss& loss = *table.lost;
    const std::uint64_t limit = table.gc_thresh3.value_or(0);
    return {.tunable = limits.most.tunable,
            .scope = {.netns = snapshot.host},
            .from = limit,
            .to = limit,
            .why = fmt::format("{} packets lost in {:.0f} s because the node's neighbour table ({}) was full at {}, {}",
                               loss.packets, Seconds(loss.length).count(), limits.name, limit, why),
            .evidence = {{"lost", loss.packets},
                         {"entries", table.entries},
                         {"limit", limit},
                         {"made", loss.made},
                         {"unanswered", loss.unanswered}},
            .demand = {limits.most.tunable, snapshot.host}};
}

std::string why_not(const NeighbourLoss& loss) {
    return fmt::format("and {} of {} neighbours that were asked for did not answer: a scan, or peers that are gone. A "
                       "larger table would hold more of these. Find who asks for them: `ip -4 neigh show nud "
                       "incomplete nud failed`, or -6, in each network namespace",
                       loss.unanswered, std::max(loss.made, loss.unanswered));
}

// As far below gc_thresh3 as they were.
void raise_others(Gate& gate, const Limits& limits, const NeighbourTable& table, const Wish& raised, std::uint64_t to) {
    for (const Limit& other : limits.others) {
        const std::uint64_t value = (table.*other.value).value_or(0);
        if (value == 0) continue;
        Wish wish = raised;
        wish.tunable = other.tunable;
        wish.from = value;
        wish.to = std::min(tunables::following(other.tunable, to, raised.from, value),
                           gate.bounds_of(ObjectKey{other.tunable, wish.scope.netns}).max);
        wish.expected.clear(); // the entries are charged once
        wish.why = fmt::format("gc_thresh3 goes to {}: this one stays as far below it", to);
        gate.raise(std::move(wish));
    }
}

void raise(Gate& gate, const Limits& limits, const NeighbourTable& table) {
    const NeighbourLoss& loss = *table.lost;
    const std::uint64_t limit = *table.gc_thresh3;
    Wish wish =
        finding_of(limits, table, gate.snapshot(),
                   fmt::format("{} of {} neighbours that were asked for did not answer", loss.unanswered, loss.made));
    wish.to = std::bit_ceil(std::clamp(limit + loss.packets, least_factor * limit, most_factor * limit));
    wish.expected = {std::min(limit + loss.packets, wish.to)};
    wish.reason = {.trial = {.object = wish.demand},
                   .cause = Cause::loss,
                   .fitted = limit,
                   .before = {.losses = loss.packets, .demand = loss.made + loss.packets, .use = limit}};
    wish.urgent = true; // this loss is of the present limit
    const Wish raised = wish;
    if (const std::uint64_t to = gate.raise(std::move(wish)); to > limit) raise_others(gate, limits, table, raised, to);
}

} // namespace

namespace neighbour_tables {

void read(const View& view, std::vector<Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    for (const Limits& limits : all_limits) {
        const NeighbourTable* table = table_of(snapshot, limits.family);
        add(readings, [&] { return reading_of(limits.most, table, snapshot); });
        for (const Limit& other : limits.others)
            add(readings, [&] { return reading_of(other, table, snapshot); }).charged.reset();
    }
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    for (const Limits& limits : all_limits) {
        const NeighbourTable* table = table_of(snapshot, limits.family);
        if (table == nullptr || !table->lost || table->gc_thresh3.value_or(0) == 0) continue;
        const ObjectKey object{limits.most.tunable, snapshot.host};
        if (gate.puts_back(object) || !gate.asks(object.tunable, snapshot.host)) continue;
        const Held* held = gate.held(object);
        if (held != nullptr && table->lost->began < held->since) continue; // lost at another limit
        if (is_unanswered(*table->lost)) {
            gate.advise(finding_of(limits, *table, snapshot, why_not(*table->lost)), "unanswered");
        } else {
            raise(gate, limits, *table);
        }
    }
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (const Limits& limits : all_limits)
        for (NeighbourTable& table : snapshot.neighbours) {
            if (table.family != limits.family) continue;
            const auto show_one = [&](const Limit& limit) {
                if (const auto value = value_of({limit.tunable, snapshot.host})) table.*limit.value = value;
            };
            show_one(limits.most);
            for (const Limit& other : limits.others) show_one(other);
        }
}

} // namespace neighbour_tables
} // namespace bpftune::controller

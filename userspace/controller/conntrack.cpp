// SPDX-License-Identifier: Apache-2.0
#include "controller/conntrack.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

namespace bpftune::controller {
namespace {

// Entries of closed connections live one to two minutes (nf_conntrack_proto_tcp.c: TIME_WAIT 120 s), so growth goes on
// for a while; the table must not fill before the next few looks at it.
constexpr double horizon_seconds = 30;
constexpr double target_fill = 0.7;
// A table that is filled this far is raised even when it does not grow.
constexpr double high_fill = 0.85;
constexpr double largest_table = 1u << 30;

double growth_of(const Conntrack& table, Nanoseconds interval) {
    const double seconds = Seconds(interval).count();
    const double refused = seconds > 0 ? static_cast<double>(table.window_drops) / seconds : 0;
    return std::max(table.entries_per_second, 0.0) + refused;
}

bool pressed(const Conntrack& table, double growth) {
    const auto entries = static_cast<double>(table.entries);
    const auto limit = static_cast<double>(table.limit);
    return table.window_drops > 0 || entries + growth * horizon_seconds > limit || entries > high_fill * limit;
}

std::uint64_t size_for(const Conntrack& table, double growth) {
    const double needed = (static_cast<double>(table.entries) + growth * horizon_seconds) / target_fill;
    const auto size = static_cast<std::uint64_t>(std::ceil(std::min(needed, largest_table)));
    return std::bit_ceil(std::max(size, table.limit + 1));
}

Wish wish_for(const Conntrack& table, const NetnsId& host, double growth) {
    Wish wish{.tunable = TunableId::conntrack_max,
              .scope = {.netns = host, .pod = table.pod},
              .from = table.limit,
              .to = size_for(table, growth),
              .why = fmt::format("conntrack table of {} holds {} of {}",
                                 table.pod ? table.pod->ns + "/" + table.pod->name
                                           : fmt::format("netns {}", table.netns.inode),
                                 table.entries, table.limit),
              .evidence = {{"entries", table.entries},
                           {"limit", table.limit},
                           {"entries_per_second",
                            static_cast<std::uint64_t>(std::lround(std::max(table.entries_per_second, 0.0)))}}};
    if (table.window_drops > 0) {
        wish.why += fmt::format(" and dropped {} packets", table.window_drops);
        wish.evidence.push_back({"drops", table.window_drops});
        wish.urgent = true;
    } else if (growth > 0) {
        wish.why += fmt::format(", growing by {:.0f} a second", growth);
    }
    return wish;
}

// The table has one limit for the node; it is written in the init network namespace, for everyone.
void raise_table(Gate& gate, const Conntrack& table, Wish wish) {
    const std::uint64_t chain = std::max<std::uint64_t>(1, table.buckets > 0 ? table.limit / table.buckets : 1);
    Wish buckets = wish;
    const std::uint64_t limit = gate.raise(std::move(wish));
    if (limit == table.limit || table.buckets == 0) return;
    buckets.tunable = TunableId::conntrack_buckets;
    buckets.from = table.buckets;
    buckets.to = std::min(std::bit_ceil(limit / chain), gate.policy().of(TunableId::conntrack_buckets).max);
    buckets.why = fmt::format("nf_conntrack_max goes to {}: chains stay at {}", limit, chain);
    gate.raise(std::move(buckets));
}

} // namespace

void conntrack_rule(Gate& gate, const Snapshot& snapshot) {
    if (snapshot.cause != Snapshot::Cause::tick) return;
    const Conntrack* fullest = nullptr;
    std::uint64_t largest = 0;
    for (const Conntrack& table : snapshot.conntrack) {
        const double growth = growth_of(table, snapshot.interval);
        if (table.limit == 0 || !pressed(table, growth)) continue; // 0: no limit at all
        if (const std::uint64_t size = size_for(table, growth); size > largest) {
            largest = size;
            fullest = &table;
        }
    }
    if (fullest != nullptr)
        raise_table(gate, *fullest, wish_for(*fullest, snapshot.host, growth_of(*fullest, snapshot.interval)));
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/conntrack.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "controller/flood.hpp"

namespace bpftune::controller {
namespace {

// The table must not fill before the next few looks at it.
constexpr double horizon_seconds = 30;
// How long an entry of a connection that was closed lives, the longest of the states that follow a close
// (nf_conntrack_proto_tcp.c: nf_conntrack_tcp_timeout_time_wait).
constexpr double time_wait_seconds = 120;
// Growth of less than this part of the inserts is noise about the steady state.
constexpr double steady_growth = 0.05;
constexpr double target_fill = 0.7;
// A table that is filled this far is raised even when it does not grow.
constexpr double high_fill = 0.85;
constexpr double largest_table = 1u << 30;

// What is asked of a table: entries that there will be.
struct Need {
    double growth = 0; // entries a second, and those that were refused
    double entries = 0;
};

// Little's law: entries = inserts a second x mean lifetime. In the steady state the lifetime is entries / inserts, and
// what is there is what will be there. While more begin than end, the lifetime is known by its bound alone.
Need need_of(const Conntrack& table, Nanoseconds interval) {
    const double seconds = Seconds(interval).count();
    const double refused = seconds > 0 ? static_cast<double>(table.window_drops) / seconds : 0;
    const auto entries = static_cast<double>(table.entries);
    Need need{.growth = std::max(table.entries_per_second, 0.0) + refused, .entries = entries};
    if (!table.inserts_per_second) {
        need.entries += need.growth * horizon_seconds;
    } else if (const double all = *table.inserts_per_second + refused; need.growth > steady_growth * all) {
        need.entries = std::max(entries, all * time_wait_seconds);
    }
    return need;
}

bool pressed(const Conntrack& table, const Need& need) {
    const auto limit = static_cast<double>(table.limit);
    return table.window_drops > 0 || need.entries > limit || static_cast<double>(table.entries) > high_fill * limit;
}

// With headroom.
std::uint64_t expected_entries(const Need& need) {
    return static_cast<std::uint64_t>(std::ceil(std::min(need.entries / target_fill, largest_table)));
}

std::uint64_t size_for(const Need& need) { return std::bit_ceil(expected_entries(need)); }

std::uint64_t raise_for(const Conntrack& table, const Need& need) {
    return std::max(size_for(need), std::bit_ceil(table.limit + 1));
}

// It would be full before another raise is due.
bool is_too_fast_for_cooldown(const Conntrack& table, const Need& need) {
    return static_cast<double>(table.entries) + need.growth * Seconds(cooldown).count() >
           static_cast<double>(table.limit);
}

// Of every namespace: the limit is the node's, so whoever grows under it costs.
std::vector<std::uint64_t> expected_entries(const Snapshot& snapshot) {
    std::vector<std::uint64_t> expected;
    expected.reserve(snapshot.conntrack.size());
    for (const Conntrack& table : snapshot.conntrack)
        expected.push_back(expected_entries(need_of(table, snapshot.interval)));
    return expected;
}

Reason reason_of(const Conntrack& table, const Snapshot& snapshot) {
    return {.trial = {TrialKey::Kind::conntrack, snapshot.host, 0},
            .cause = table.window_drops > 0 ? Cause::loss : Cause::forecast,
            .fitted = table.limit,
            .before = measured_tables(snapshot)};
}

TrialKey demand_at(const Conntrack& table) { return {TrialKey::Kind::conntrack, table.netns, 0}; }

Wish wish_for(const Conntrack& table, const Snapshot& snapshot, const Need& need) {
    Wish wish{.tunable = TunableId::conntrack_max,
              .scope = {.netns = snapshot.host, .pod = table.pod},
              .from = table.limit,
              .to = raise_for(table, need),
              .why = fmt::format("conntrack table of {} holds {} of {}",
                                 table.pod ? table.pod->ns + "/" + table.pod->name
                                           : fmt::format("netns {}", table.netns.inode),
                                 table.entries, table.limit),
              .expected = expected_entries(snapshot),
              .evidence = {{"entries", table.entries},
                           {"limit", table.limit},
                           {"entries_per_second",
                            static_cast<std::uint64_t>(std::lround(std::max(table.entries_per_second, 0.0)))}},
              .reason = reason_of(table, snapshot),
              .demand = demand_at(table),
              .urgent = table.window_drops > 0 || is_too_fast_for_cooldown(table, need)};
    if (table.inserts_per_second)
        wish.evidence.push_back(
            {"inserts_per_second", static_cast<std::uint64_t>(std::lround(std::max(*table.inserts_per_second, 0.0)))});
    if (table.unanswered_ratio)
        wish.evidence.push_back(
            {"unanswered_percent", static_cast<std::uint64_t>(std::lround(*table.unanswered_ratio * 100))});
    if (table.window_drops > 0) {
        wish.why += fmt::format(" and dropped {} packets", table.window_drops);
        wish.evidence.push_back({"drops", table.window_drops});
    } else if (need.growth > 0) {
        wish.why += fmt::format(", growing by {:.0f} a second", need.growth);
    }
    return wish;
}

// The handshakes of a great burst, looked at in the middle of it, are unanswered too.
bool is_first_look(const Gate& gate, const Conntrack& table) {
    const Flood* flood = flood_at(gate.state(), demand_at(table), gate.now());
    return flood != nullptr && flood->since == gate.now() && table.window_drops == 0;
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
    buckets.expected = {buckets.to}; // allocated at once
    buckets.why = fmt::format("nf_conntrack_max goes to {}: chains stay at {}", limit, chain);
    gate.raise(std::move(buckets));
}

} // namespace

Measured measured_tables(const Snapshot& snapshot) {
    const double seconds = Seconds(snapshot.interval).count();
    Measured sum;
    for (const Conntrack& table : snapshot.conntrack) {
        const double begun = table.inserts_per_second.value_or(std::max(table.entries_per_second, 0.0)) * seconds;
        sum.losses += table.window_drops;
        sum.demand += static_cast<std::uint64_t>(std::llround(begun)) + table.window_drops;
        sum.use = std::max(sum.use, table.entries); // the limit is compared with each table by itself
    }
    return sum;
}

Use use_of(const Snapshot& snapshot) {
    Use use;
    for (const Conntrack& table : snapshot.conntrack) {
        const Need need = need_of(table, snapshot.interval);
        use.used = std::max(use.used, table.entries);
        use.wanted = std::max(use.wanted, size_for(need));
        use.pressed |= pressed(table, need);
    }
    return use;
}

void conntrack_rule(Gate& gate, const Snapshot& snapshot) {
    if (snapshot.cause != Snapshot::Cause::tick || gate.puts_back({TunableId::conntrack_max, snapshot.host})) return;
    const Conntrack* fullest = nullptr;
    Wish largest;
    for (const Conntrack& table : snapshot.conntrack) {
        note_flood(gate.state(), demand_at(table), {TunableId::conntrack_max, snapshot.host}, table.limit, table.flood,
                   gate.now());
        const Need need = need_of(table, snapshot.interval);
        if (table.limit == 0 || !pressed(table, need)) continue; // 0: no limit at all
        Wish wish = wish_for(table, snapshot, need);
        if (gate.is_on_ramp(key_of(wish.tunable, wish.scope))) wish.to = std::max(wish.to, ramp_factor * table.limit);
        if (is_first_look(gate, table) || !gate.fit_flood(wish) || wish.to <= largest.to) continue;
        largest = std::move(wish);
        fullest = &table;
    }
    if (fullest != nullptr) raise_table(gate, *fullest, std::move(largest));
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/conntrack.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "controller/flood.hpp"
#include "controller/gate.hpp"
#include "controller/tenant.hpp"
#include "core/words.hpp"

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
// Each entry is in the hash twice, once for each direction. Of chains that are this long in the mean, none is refused.
constexpr std::uint64_t nodes_of_an_entry = 2;
constexpr std::uint64_t longest_mean_chain = 16;

// What is asked of a table: entries that there will be.
struct Need {
    double growth = 0; // entries a second, and those that were refused
    double entries = 0;
};

ObjectKey limit_of(const Snapshot& snapshot) { return {TunableId::conntrack_max, snapshot.host}; }
ObjectKey buckets_of(const Snapshot& snapshot) { return {TunableId::conntrack_buckets, snapshot.host}; }

// Little's law: entries = inserts a second x mean lifetime. In the steady state the lifetime is entries / inserts, and
// what is there is what will be there. While more begin than end, the lifetime is known by its bound alone.
Need need_of(const Conntrack& table, Nanoseconds interval) {
    const double seconds = Seconds(interval).count();
    const double refused = seconds > 0 ? static_cast<double>(table.window_lost()) / seconds : 0;
    const auto entries = static_cast<double>(table.entries);
    Need need{.growth = std::max(table.entries_per_second, 0.0) + refused, .entries = entries};
    if (!table.inserts_per_second) {
        need.entries += need.growth * horizon_seconds;
    } else if (const double all = *table.inserts_per_second + refused; need.growth > steady_growth * all) {
        need.entries = std::max(entries, all * time_wait_seconds);
    }
    return need;
}

// As it is at the limit that it has now. What was lost in this window by a table that was far from this limit all the
// time was lost at another, which was raised since.
Conntrack at_this_limit(const Conntrack& table, Nanoseconds interval) {
    Conntrack now = table;
    const double before = static_cast<double>(table.entries) - table.entries_per_second * Seconds(interval).count();
    const double most = std::max(static_cast<double>(table.entries), before);
    if (most < Conntrack::near_limit * static_cast<double>(table.limit)) now.window_drops = now.window_evicted = 0;
    return now;
}

bool pressed(const Conntrack& table, const Need& need) {
    if (table.is_unlimited()) return false;
    const auto limit = static_cast<double>(table.limit);
    return table.window_lost() > 0 || need.entries > limit || static_cast<double>(table.entries) > high_fill * limit;
}

// With headroom.
std::uint64_t expected_entries(const Need& need) {
    return static_cast<std::uint64_t>(std::ceil(std::min(need.entries / target_fill, largest_table)));
}

std::uint64_t size_for(const Need& need) { return std::bit_ceil(expected_entries(need)); }

std::uint64_t raise_for(const Conntrack& table, const Need& need) {
    return std::max(size_for(need), next_step(table.limit));
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

Reason reason_of(const Conntrack& table, const Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    return {.trial = {.object = limit_of(snapshot)},
            .cause = table.window_lost() > 0 ? Cause::loss : Cause::forecast,
            .fitted = table.limit,
            .before = gate.readings().find(limit_of(snapshot))->measured};
}

void ask_for_table(const Gate& gate, Wish& wish, std::vector<Tenant> tenants) {
    ask_for(wish, std::move(tenants));
    const Reading* limit = gate.readings().find(limit_of(gate.snapshot()));
    wish.reason.before = measured_for(gate, *limit, wish.reason.trial.tenant);
}

// The demand of one table, by its namespace; the limit is the node's.
ObjectKey demand_at(const Conntrack& table) { return {TunableId::conntrack_max, table.netns}; }

Tenant tenant_with(const Snapshot& snapshot, const Conntrack& table) {
    return tenant_in(snapshot, table.netns, table.pod);
}

std::string name_of(const Conntrack& table) { return netns_text(table.netns, table.pod); }

// The kernel has two words for two numbers: a packet is dropped, an entry is thrown out for another.
std::string lost_text(const Conntrack& table) {
    if (table.window_evicted == 0) return fmt::format("dropped {} packets", table.window_drops);
    const std::string evicted = fmt::format("evicted {} connections for new ones", table.window_evicted);
    return table.window_drops == 0 ? evicted : fmt::format("dropped {} packets, {}", table.window_drops, evicted);
}

// Half of its entries, which no raise is for.
bool is_mostly_unanswered(const Conntrack& table) { return table.unanswered.has_value(); }

Wish wish_for(const Conntrack& table, const Gate& gate, const Need& need) {
    const Snapshot& snapshot = gate.snapshot();
    Wish wish{.tunable = TunableId::conntrack_max,
              .scope = {.netns = snapshot.host, .pod = table.pod},
              .from = table.limit,
              .to = raise_for(table, need),
              .why = fmt::format("conntrack table of {} holds {} of {}", name_of(table), table.entries, table.limit),
              .expected = expected_entries(snapshot),
              .evidence = {{"entries", table.entries},
                           {"limit", table.limit},
                           {"entries_per_second",
                            static_cast<std::uint64_t>(std::lround(std::max(table.entries_per_second, 0.0)))}},
              .reason = reason_of(table, gate),
              .demand = demand_at(table),
              .urgent = table.window_lost() > 0 || is_too_fast_for_cooldown(table, need)};
    if (table.inserts_per_second)
        wish.evidence.push_back(
            {"inserts_per_second", static_cast<std::uint64_t>(std::lround(std::max(*table.inserts_per_second, 0.0)))});
    if (table.unanswered_ratio)
        wish.evidence.push_back(
            {"unanswered_percent", static_cast<std::uint64_t>(std::lround(*table.unanswered_ratio * 100))});
    if (table.window_lost() > 0) {
        wish.why += " and " + lost_text(table);
        if (table.window_drops > 0) wish.evidence.push_back({"drops", table.window_drops});
        if (table.window_evicted > 0) wish.evidence.push_back({"evicted", table.window_evicted});
    } else if (need.growth > 0) {
        wish.why += fmt::format(", growing by {:.0f} a second", need.growth);
    }
    if (is_mostly_unanswered(table) && !table.seen_once && !table.flood)
        wish.why += fmt::format("; half of it or more is unanswered ({}), and that part grows by less than the rest",
                                *table.unanswered);
    return wish;
}

// The handshakes of a great burst, looked at in the middle of it, are unanswered too.
bool is_first_look(const Gate& gate, const Conntrack& table) {
    const Flood* flood = flood_at(gate.state(), demand_at(table), gate.now());
    if (table.window_lost() > 0) return false;
    return (table.seen_once && is_mostly_unanswered(table)) || (flood != nullptr && flood->since == gate.now());
}

bool asks(const Gate& gate, const Conntrack& table) { return gate.asks(TunableId::conntrack_max, table.netns); }

// The limit has room: no raise of it helps, so only what the matter is can be said.
void say_clashes(Gate& gate, const Conntrack& table) {
    const std::uint64_t lost = table.window_nat_exhausted + table.window_clashes;
    if (lost == 0) return;
    const bool nat = table.window_nat_exhausted > 0;
    gate.advise({.tunable = TunableId::conntrack_max,
                 .scope = {.netns = table.netns, .pod = table.pod},
                 .from = table.limit,
                 .to = table.limit,
                 .why = fmt::format("{} packets of {} lost to clashes, not to a full conntrack table: {}; {}", lost,
                                    name_of(table), table.clash.value_or("unknown"),
                                    nat ? "more ports or addresses to translate to are needed, nothing raised"
                                        : "nothing raised"),
                 .evidence = {{nat ? "nat_exhausted" : "clashes", lost}, {"entries", table.entries}}},
                nat ? "nat" : "clash");
}

std::uint64_t all_entries(const Snapshot& snapshot) {
    std::uint64_t sum = 0;
    for (const Conntrack& table : snapshot.conntrack) sum += table.entries;
    return sum;
}

// The buckets are shared: as many as entries there will be, of all namespaces.
std::uint64_t buckets_for(const Snapshot& snapshot) {
    double entries = 0;
    for (const Conntrack& table : snapshot.conntrack) {
        const double will_be = need_of(table, snapshot.interval).entries;
        entries += table.is_unlimited() ? will_be : std::min(will_be, static_cast<double>(table.limit));
    }
    return std::bit_ceil(static_cast<std::uint64_t>(std::ceil(std::min(entries, largest_table))));
}

// `worst`: who lost most for want of buckets.
Wish wish_for_chains(const Gate& gate, const Conntrack& worst) {
    const Snapshot& snapshot = gate.snapshot();
    const std::uint64_t lost = worst.window_chain_too_long;
    const std::uint64_t entries = all_entries(snapshot);
    const std::uint64_t to = std::max(buckets_for(snapshot), next_step(worst.buckets));
    return {.tunable = TunableId::conntrack_buckets,
            .scope = {.netns = snapshot.host, .pod = worst.pod},
            .from = worst.buckets,
            .to = to,
            .why = fmt::format("{} connections of {} refused because hash chains are too long: {} entries in {} "
                               "buckets; the table itself has room",
                               lost, name_of(worst), entries, worst.buckets),
            .expected = {to}, // allocated at once
            .evidence = {{"chain_too_long", lost}, {"entries", entries}, {"buckets", worst.buckets}},
            .reason = {.trial = {.object = buckets_of(snapshot)},
                       .cause = Cause::loss,
                       .fitted = entries,
                       .before = gate.readings().find(buckets_of(snapshot))->measured},
            .demand = demand_at(worst),
            .urgent = true};
}

// A connection whose hash chain is longer than 50 to 80 is refused, however much room the table has
// (net/netfilter/nf_conntrack_core.c, __nf_conntrack_confirm: MIN_CHAINLEN, MAX_CHAINLEN; 5.15 and later).
void chain_rule(Gate& gate, const Snapshot& snapshot) {
    const Conntrack* worst = nullptr;
    Askers askers;
    for (const Conntrack& table : snapshot.conntrack) {
        const std::uint64_t lost = table.window_chain_too_long;
        if (lost == 0 || !asks(gate, table)) continue;
        askers.add(tenant_with(snapshot, table), lost);
        if (worst == nullptr || lost > worst->window_chain_too_long) worst = &table;
    }
    if (worst == nullptr || worst->buckets == 0) return;
    Wish wish = wish_for_chains(gate, *worst);
    ask_for(wish, askers.alone());
    gate.raise(std::move(wish));
}

// The table has one limit for the node; it is written in the init network namespace, for everyone. True: it is.
bool raise_table(Gate& gate, const Conntrack& table, Wish wish) {
    const std::uint64_t chain = std::max<std::uint64_t>(1, table.buckets > 0 ? table.limit / table.buckets : 1);
    Wish buckets = wish;
    buckets.askers.clear(); // beside their entries they take little
    const std::uint64_t limit = gate.raise(std::move(wish));
    if (limit == table.limit) return false;
    if (table.buckets == 0) return true;
    buckets.tunable = TunableId::conntrack_buckets;
    buckets.from = table.buckets;
    buckets.to = std::min(std::bit_ceil(limit / chain), gate.bounds_of(buckets).max);
    buckets.expected = {buckets.to}; // allocated at once
    buckets.why = fmt::format("nf_conntrack_max goes to {}: chains stay at {}", limit, chain);
    gate.raise(std::move(buckets));
    return true;
}

// Of several tables the one that wants most.
struct Fullest {
    const Conntrack* table = nullptr;
    Wish wish;
};

void take_larger(Fullest& fullest, const Conntrack& table, Wish wish) {
    if (wish.to > fullest.wish.to) fullest = {.table = &table, .wish = std::move(wish)};
}

// The node's own demand is not held to what tenants have left, and does not let them have more.
void raise_larger(Gate& gate, Fullest of_node, Fullest of_tenants) {
    const bool do_tenants_want_more =
        of_tenants.wish.to > of_node.wish.to &&
        (of_node.table == nullptr || gate.within_shares(of_tenants.wish) > of_node.wish.to);
    if (do_tenants_want_more && raise_table(gate, *of_tenants.table, std::move(of_tenants.wish))) return;
    if (of_node.table != nullptr) raise_table(gate, *of_node.table, std::move(of_node.wish));
}

double begun_in(const Conntrack& table, double seconds) {
    return table.inserts_per_second.value_or(std::max(table.entries_per_second, 0.0)) * seconds;
}

// What one interval of the tables that ask says of their limit, and of the hash chains that all of them share.
struct Asked {
    Measured of_node; // what tenants lose is none of its own, but what they use has shown that there is use for it
    Measured chains;
    Use of_limit;
    bool refused_by_chains = false;
};

// `own`: what it adds to a trial of the limit. The limit is compared with each table by itself.
void add(Asked& asked, const Snapshot& snapshot, const Conntrack& table, const Measured& own) {
    const Nanoseconds interval = snapshot.interval;
    if (table.netns == snapshot.host) {
        asked.of_node.losses += own.losses;
        asked.of_node.demand += own.demand;
    }
    asked.of_node.use = std::max(asked.of_node.use, own.use);
    asked.chains.losses += table.window_chain_too_long;
    asked.chains.demand += own.demand - own.losses + table.window_chain_too_long;
    const Need need = need_of(table, interval);
    asked.of_limit.wanted = std::max(asked.of_limit.wanted, size_for(need));
    asked.of_limit.pressed |= pressed(table, need);
    asked.refused_by_chains |= table.window_chain_too_long > 0;
}

// Of all tables; adds a reading for each of those that are a part.
Asked asked_of(const View& view, std::vector<Reading>& parts) {
    const Snapshot& snapshot = view.snapshot;
    Asked asked{.chains = {.use = all_entries(snapshot)}};
    for (const Conntrack& table : snapshot.conntrack) {
        asked.of_limit.used = std::max(asked.of_limit.used, table.entries);
        Measured own;
        if (view.asks(TunableId::conntrack_max, table.netns)) {
            own = tables::measured_of(table, snapshot.interval);
            own.use = table.entries;
            add(asked, snapshot, table, own);
        } else { // nothing is raised for it, but what it has in use keeps its place
            asked.of_limit.wanted =
                std::max(asked.of_limit.wanted, size_for({.entries = static_cast<double>(table.entries)}));
        }
        if (table.netns != snapshot.host)
            add(parts, [&] {
                return Reading{.object = demand_at(table), .pod = &table.pod, .is_part = true, .measured = own};
            });
    }
    return asked;
}

// Tables are seen at ticks only. One that cannot be read may be filling: that is no calm.
std::optional<Use> seen(const Snapshot& snapshot, const Use& use) {
    if (snapshot.cause != Snapshot::Cause::tick) return std::nullopt;
    return snapshot.conntrack.empty() ? Use{.pressed = true} : use;
}

Reading reading_of_limit(const View& view, const Asked& asked) {
    const Snapshot& snapshot = view.snapshot;
    Reading reading{.object = limit_of(snapshot),
                    .read = snapshot.time.mono,
                    .use = seen(snapshot, asked.of_limit),
                    .sharers = std::max<std::uint64_t>(snapshot.conntrack.size(), 1),
                    .measured = asked.of_node,
                    .has_parts = true};
    if (snapshot.conntrack.empty()) return reading;
    reading.value = snapshot.conntrack.front().limit; // the node's
    reading.in_use = asked.of_limit.used;
    if (!view.state.held.contains(reading.object)) return reading; // nothing is charged
    std::vector<std::uint64_t>& charged = reading.charged_each.emplace();
    for (const Conntrack& table : snapshot.conntrack) charged.push_back(table.entries);
    return reading;
}

Reading reading_of_buckets(const Snapshot& snapshot, const Asked& asked) {
    Use use = asked.of_limit;
    use.wanted = std::bit_ceil(all_entries(snapshot) * nodes_of_an_entry / longest_mean_chain);
    use.pressed |= asked.refused_by_chains;
    Reading reading{.object = buckets_of(snapshot),
                    .read = snapshot.time.mono,
                    .use = seen(snapshot, use),
                    .measured = asked.chains};
    if (snapshot.conntrack.empty()) return reading;
    if (snapshot.conntrack.front().buckets > 0) reading.value = snapshot.conntrack.front().buckets;
    reading.charged = reading.value; // allocated at once
    reading.in_use = asked.of_limit.used;
    return reading;
}

void show_limit(Conntrack& table, std::uint64_t limit, Nanoseconds interval) {
    table.limit = limit;
    const std::uint64_t wanted = table.entries + table.window_lost();
    const std::uint64_t before = table.entries;
    table.entries = std::min(wanted, table.limit);
    table.window_drops = wanted - table.entries;
    table.window_evicted = 0; // they are among these
    const double seconds = Seconds(interval).count();
    if (seconds <= 0) return;
    const double gained = static_cast<double>(table.entries) - static_cast<double>(before);
    table.entries_per_second += gained / seconds;
    table.full_in_seconds.reset();
    if (table.entries_per_second > 0)
        table.full_in_seconds = static_cast<double>(table.limit - table.entries) / table.entries_per_second;
}

} // namespace

namespace tables {

void read(const View& view, std::vector<Reading>& readings) {
    const Asked asked = asked_of(view, readings);
    readings.push_back(reading_of_limit(view, asked));
    readings.push_back(reading_of_buckets(view.snapshot, asked));
}

Measured measured_of(const Conntrack& table, Nanoseconds interval) {
    const auto begun = static_cast<std::uint64_t>(std::llround(begun_in(table, Seconds(interval).count())));
    const std::uint64_t came = begun + table.window_lost();
    return {.losses = table.window_lost(), .demand = came, .use = came};
}

std::optional<Wish> wish_of(Gate& gate, const Conntrack& seen) {
    const Snapshot& snapshot = gate.snapshot();
    if (seen.window_lost() == 0 && !pressed(seen, need_of(seen, snapshot.interval))) return std::nullopt;
    const Conntrack table = at_this_limit(seen, snapshot.interval);
    const Need need = need_of(table, snapshot.interval);
    if (!pressed(table, need)) return std::nullopt;
    Wish wish = wish_for(table, gate, need);
    if (table.seen_once && is_mostly_unanswered(table)) wish.to = std::min(wish.to, next_step(table.limit));
    if (gate.is_on_ramp(limit_of(snapshot))) wish.to = std::max(wish.to, ramp_factor * table.limit);
    if (is_first_look(gate, table) || !gate.fit_flood(wish)) return std::nullopt;
    if (const Tenant tenant = tenant_with(snapshot, table); !tenant.is_node()) ask_for_table(gate, wish, {tenant});
    return wish;
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    if (snapshot.cause != Snapshot::Cause::tick || gate.puts_back(limit_of(snapshot))) return;
    Fullest of_node;
    Fullest of_tenants;
    Askers askers;
    for (const Conntrack& seen : snapshot.conntrack) {
        if (!asks(gate, seen)) continue;
        note_flood(gate.state(),
                   {.demand = demand_at(seen), .object = limit_of(snapshot), .limit = seen.limit, .once = true},
                   seen.flood, gate.now());
        say_clashes(gate, seen);
        auto wish = wish_of(gate, seen);
        if (!wish) continue;
        const bool is_of_node = wish->askers.empty();
        if (!is_of_node) askers.add(wish->askers.front(), wish->to);
        take_larger(is_of_node ? of_node : of_tenants, seen, std::move(*wish));
    }
    if (of_tenants.table != nullptr) ask_for_table(gate, of_tenants.wish, askers.alone());
    raise_larger(gate, std::move(of_node), std::move(of_tenants));
    chain_rule(gate, snapshot);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    const auto buckets = value_of(buckets_of(snapshot));
    const auto limit = value_of(limit_of(snapshot));
    for (Conntrack& table : snapshot.conntrack) {
        if (buckets) table.buckets = *buckets;
        if (limit) show_limit(table, *limit, snapshot.interval);
    }
}

} // namespace tables
} // namespace bpftune::controller

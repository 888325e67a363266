// SPDX-License-Identifier: Apache-2.0
#include "signals/conntrack_tables.hpp"

#include <algorithm>
#include <utility>

#include "signals/conntrack_states.hpp"
#include "signals/gain.hpp"

namespace bpftune::signals {
namespace {

constexpr Nanoseconds sample_pause = std::chrono::milliseconds(500);
// What was clashed with is said for this long after the last one.
constexpr Nanoseconds clash_memory = std::chrono::minutes(1);

std::uint64_t less(std::uint64_t whole, std::uint64_t part) { return whole - std::min(whole, part); }

// What the table will hold two minutes from now may be past its limit: so far ahead nobody looks.
bool may_be_raised(const Conntrack& table) {
    const double begun = std::max(table.inserts_per_second.value_or(0), table.entries_per_second);
    const double ahead = static_cast<double>(table.entries) + std::max(begun, 0.0) * 120;
    return !table.is_unlimited() &&
           (table.window_lost() > 0 || table.entries * 2 >= table.limit || ahead >= static_cast<double>(table.limit));
}

// The limit may have been another one at either end of the interval.
bool is_near(std::uint64_t entries, std::uint64_t before, std::uint64_t now) {
    const auto reached = [&](std::uint64_t limit) {
        return limit > 0 && static_cast<double>(entries) >= Conntrack::near_limit * static_cast<double>(limit);
    };
    return reached(before) || reached(now);
}

std::optional<double> full_in_seconds(const Conntrack& row) {
    if (row.is_unlimited()) return std::nullopt;
    const double left = static_cast<double>(row.limit) - static_cast<double>(std::min(row.entries, row.limit));
    if (row.entries_per_second > 0) return left / row.entries_per_second;
    return left > 0 ? std::nullopt : std::optional(0.0);
}

bool has_counted(const Conntrack& row) {
    return row.drops + row.early_drops + row.insert_failed + row.nat_exhausted + row.clashes + row.chain_too_long > 0;
}

} // namespace

void ConntrackTables::unloaded() {
    tables_.clear();
    born_ = true;
}

void ConntrackTables::update(std::span<const probes::ConntrackReading> readings, const Limits& limits, MonoTime now,
                             Nanoseconds interval) {
    std::map<NetnsId, bool> seen_before;
    for (auto& [netns, table] : tables_) seen_before[netns] = std::exchange(table.seen, false);
    for (const probes::ConntrackReading& reading : readings) {
        Table& table = tables_[reading.netns];
        const bool known = seen_before[reading.netns];
        if (!known) {
            table.last = born_ ? probes::ConntrackReading{} : reading;
            table.row.limit = limits.entries;
            table.unanswered = {};
            table.states.reset();
        }
        if (known && reading.read && reading.read == table.last.read) {
            nothing_new(table, limits, now);
            continue;
        }
        const double seconds =
            Seconds(reading.read && table.last.read ? *reading.read - *table.last.read : interval).count();
        count(table, reading, limits);
        Conntrack& row = table.row;
        row.entries_per_second = 0;
        row.inserts_per_second.reset();
        if (known && seconds > 0) {
            row.entries_per_second =
                (static_cast<double>(reading.entries) - static_cast<double>(table.last.entries)) / seconds;
            if (reading.inserts && table.last.inserts && *reading.inserts >= *table.last.inserts)
                row.inserts_per_second = static_cast<double>(*reading.inserts - *table.last.inserts) / seconds;
        }
        row.full_in_seconds = full_in_seconds(row);
        table.unanswered.lost(row.window_lost());
        if (!may_be_raised(row)) {
            table.unanswered = {};
            table.states.reset();
        }
        if (row.window_clashes > 0) table.clashed = now;
        table.last = reading;
        table.last_seen = now;
        table.seen = true;
    }
    std::erase_if(tables_, [&](const auto& entry) {
        const Table& table = entry.second;
        return !table.seen && (now - table.last_seen > gone_remembered || !has_counted(table.row));
    });
    born_ = false;
}

void ConntrackTables::count(Table& table, const probes::ConntrackReading& now, const Limits& limits) {
    const probes::ConntrackReading& last = table.last;
    Conntrack& row = table.row;
    const std::uint64_t failed = gain(last.insert_failed, now.insert_failed);
    row.window_chain_too_long = gain(last.chain_too_long, now.chain_too_long);
    row.window_clashes = less(failed, row.window_chain_too_long);
    row.window_nat_exhausted = 0; // of which some may be, see attribute()
    row.window_evicted = gain(last.early_drops, now.early_drops);
    const bool full = std::exchange(table.full, false) || row.window_evicted > 0 ||
                      is_near(std::max(last.entries, now.entries), row.limit, limits.entries);
    row.window_drops = full ? less(gain(last.drops, now.drops), row.window_clashes) : 0;

    row.netns = now.netns;
    row.entries = now.entries;
    row.limit = limits.entries;
    row.buckets = limits.buckets;
    row.drops += row.window_drops;
    row.early_drops += row.window_evicted;
    row.insert_failed += failed;
    row.chain_too_long += row.window_chain_too_long;
}

// It was not looked into since.
void ConntrackTables::nothing_new(Table& table, const Limits& limits, MonoTime now) {
    Conntrack& row = table.row;
    row.limit = limits.entries;
    row.buckets = limits.buckets;
    row.window_drops = row.window_evicted = 0;
    row.window_nat_exhausted = row.window_clashes = row.window_chain_too_long = 0;
    table.last_seen = now;
    table.seen = true;
}

void ConntrackTables::was_full(const NetnsId& netns) {
    if (const auto table = tables_.find(netns); table != tables_.end()) table->second.full = true;
}

std::vector<NetnsId> ConntrackTables::waiting(MonoTime now) const {
    std::vector<std::pair<MonoTime, NetnsId>> waiting;
    for (const auto& [netns, table] : tables_) {
        if (!table.seen || (!may_be_raised(table.row) && table.row.window_clashes == 0)) continue;
        if (now >= table.sampled + sample_pause) waiting.emplace_back(table.sampled, netns);
    }
    std::ranges::stable_sort(waiting, {}, &std::pair<MonoTime, NetnsId>::first);
    std::vector<NetnsId> names;
    names.reserve(waiting.size());
    for (const auto& [sampled, netns] : waiting) names.push_back(netns);
    return names;
}

void ConntrackTables::sampled(const NetnsId& netns, std::optional<probes::ConntrackSample> sample, MonoTime now) {
    const auto found = tables_.find(netns);
    if (found == tables_.end()) return;
    Table& table = found->second;
    table.sampled = now;
    if (!sample) {
        table.unanswered = {};
        table.states.reset();
        return;
    }
    if (table.row.window_clashes > 0) table.clash = clash_of(*sample, table.row.entries);
    if (!may_be_raised(table.row)) return;
    table.states = states_of(*sample, table.row.entries);
    table.states->read = now;
    table.unanswered.look(std::move(*sample), table.row.entries, now);
}

// Clashes are counted as what the entries say that they are.
void ConntrackTables::attribute(Table& table, MonoTime now) {
    Conntrack& row = table.row;
    const bool recent = table.clashed != MonoTime{} && now - table.clashed <= clash_memory;
    if (!recent) table.clash.reset();
    if (recent && !table.clash) table.clash = Clash{};
    if (table.clash && table.clash->nat_exhausted) row.window_nat_exhausted = std::exchange(row.window_clashes, 0);
    row.nat_exhausted += row.window_nat_exhausted;
    row.clashes += row.window_clashes;
    row.clash = table.clash ? std::optional(table.clash->sentence) : std::nullopt;
}

std::optional<Conntrack> ConntrackTables::row(const NetnsId& netns, MonoTime now) {
    const auto found = tables_.find(netns);
    if (found == tables_.end() || !found->second.seen) return std::nullopt;
    Table& table = found->second;
    attribute(table, now);
    const UnansweredWatch& watch = table.unanswered;
    table.row.unanswered_ratio = watch.ratio();
    table.row.unanswered = watch.are();
    table.row.seen_once = watch.seen_once();
    table.row.flood = watch.flood();
    table.row.states = table.states;
    return table.row;
}

} // namespace bpftune::signals

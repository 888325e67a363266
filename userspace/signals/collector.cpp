// SPDX-License-Identifier: Apache-2.0
#include "signals/collector.hpp"

#include <algorithm>
#include <set>
#include <tuple>

#include "core/text.hpp"
#include "signals/flood.hpp"
#include "sys/clock.hpp"
#include "sys/procfs.hpp"

namespace bpftune::signals {
namespace {

// A census waits for so many times the CPU time that the last one took: of 26 ms, for 100,000 open files, one every
// 10 s. (By the clock, one that was not scheduled for 300 ms would leave the listeners uncounted for two minutes.)
// While a burst is followed, a second at most, its end is worth more. With so many open files that it would take longer
// than 30 s, it takes more of the CPU instead.
constexpr int census_pause = 400;
constexpr Nanoseconds longest_census_pause = std::chrono::seconds(30);
// Where it is all that shows a queue: of 0.25 ms for each namespace, 100 of them every 2.5 s. One that was held up, by
// the very burst that it should see, must not blind the service for a minute.
constexpr int only_census_pause = 100;
constexpr Nanoseconds longest_blindness = std::chrono::seconds(5);
constexpr int burst_census_pause = 10;
// The same for one namespace, where an event does not tell which of its listeners it is about.
constexpr int look_pause = 10;
// Listeners that no descriptor table shows (on their way between processes, fixed files of io_uring, the kernel's own)
// are looked for by sock_diag in each namespace: so often, in so many at a census; more where some are missing.
constexpr Nanoseconds listing_interval = std::chrono::seconds(60);
constexpr std::size_t listings_at_once = 4;
constexpr std::size_t most_listings_at_once = 32;
// A burst that lasts longer is no burst; the tick judges it.
constexpr Nanoseconds longest_burst = std::chrono::seconds(1);
// A value is read at the next tick; one that cannot be read just then, at a later one.
constexpr Nanoseconds writes_remembered = std::chrono::minutes(1);
// Whoever writes without end makes only the older writes of that sysctl forgotten.
constexpr std::ptrdiff_t most_writes_of_one = 8;
constexpr std::size_t most_writes = 1024;
// Enough to know a half from a quarter. Taking them is this part of the time at most, but for one table a tick.
constexpr std::size_t sample_entries = 1000;
constexpr int sample_part = 200;
constexpr Nanoseconds sample_pause = std::chrono::milliseconds(500);

// What the table will hold two minutes from now may be past its limit: so far ahead nobody looks.
bool may_be_raised(const Conntrack& table) {
    const double begun = std::max(table.inserts_per_second.value_or(0), table.entries_per_second);
    const double ahead = static_cast<double>(table.entries) + std::max(begun, 0.0) * 120;
    return table.limit > 0 &&
           (table.window_drops > 0 || table.entries * 2 >= table.limit || ahead >= static_cast<double>(table.limit));
}

} // namespace

Collector::Collector(probes::Probes& probes, Node node, Now now) : probes_(probes), node_(std::move(node)) {
    tick(now);
}

Snapshot Collector::blank(Snapshot::Cause cause, Now now) const {
    Snapshot snapshot;
    snapshot.cause = cause;
    snapshot.time = now;
    snapshot.node = node_.name;
    snapshot.host = node_.host;
    snapshot.memory_bytes = node_.memory_bytes;
    snapshot.guards = node_reader_.guards();
    snapshot.unit_bytes = node_reader_.unit_bytes();
    for (const Probe probe : all_probes) snapshot.sources[static_cast<std::size_t>(probe)] = probes_.rung(probe);
    snapshot.lost_events = probes_.lost_events();
    snapshot.withheld_events = probes_.withheld_events();
    snapshot.sysctl_writes = sysctl_writes_;
    return snapshot;
}

template <class T> std::vector<T> Collector::reading(Result<std::vector<T>> result) {
    if (result) return std::move(*result);
    if (!problems_.empty()) problems_ += "; ";
    problems_ += result.error().message;
    return {};
}

void Collector::refresh(Now now, MonoTime next_census) {
    auto namespaces = probes_.namespaces();
    const bool read = namespaces.has_value();
    auto now_there = reading(std::move(namespaces));
    if (!read) return; // not the same as "none is there": what is known stays
    namespaces_ = std::move(now_there);
    const bool census = now.mono >= next_census && take_census(now);
    const std::vector<probes::QueueReading> queues = reading(probes_.queues());
    TcpTable::Readings readings{.namespaces = namespaces_, .queues = {}};
    if (probes_.sees_arrivals()) readings.queues = queues;
    if (census) readings.listeners = listeners_;
    readings.lists_whole_namespaces = probes_.lists_whole_namespaces();
    readings.unasked = unasked_;
    tcp_.update(readings, now.mono);
}

// One that failed says nothing of what is gone.
bool Collector::take_census(Now now) {
    const Nanoseconds begin = sys::thread_cpu_time();
    auto listeners = probes_.listeners(namespaces_);
    const Nanoseconds cost = sys::thread_cpu_time() - begin;
    census_interval_ = probes_.sees_arrivals() ? std::min(cost * census_pause, longest_census_pause)
                                               : std::min(cost * only_census_pause, longest_blindness);
    next_census_ = now.mono + census_interval_;
    next_burst_census_ = now.mono + cost * burst_census_pause;
    const bool taken = listeners.has_value();
    listeners_ = reading(std::move(listeners));
    unasked_.clear();
    if (taken && !probes_.lists_whole_namespaces()) add_unheld(now);
    return taken;
}

// Namespaces whose known listeners are missing come first, then those that were listed longest ago.
void Collector::add_unheld(Now now) {
    const std::vector<NetnsId> missing = tcp_.missing_in(listeners_);
    const auto misses = [&](const NetnsId& netns) { return std::ranges::binary_search(missing, netns); };
    std::map<NetnsId, MonoTime> before;
    std::vector<const probes::NetnsReading*> due;
    for (const probes::NetnsReading& netns : namespaces_) {
        const auto listed = listed_.find(netns.netns);
        if (listed != listed_.end()) before.insert(*listed);
        if (misses(netns.netns) || listed == listed_.end() || now.mono - listed->second >= listing_interval)
            due.push_back(&netns);
    }
    listed_ = std::move(before);
    std::ranges::stable_sort(due, {}, [&](const probes::NetnsReading* netns) {
        const auto listed = listed_.find(netns->netns);
        return std::tuple(!misses(netns->netns), listed == listed_.end() ? MonoTime() : listed->second);
    });
    std::set<std::uint64_t> held;
    for (const probes::ListenerReading& listener : listeners_) held.insert(listener.cookie);
    for (std::size_t i = 0; i < due.size(); ++i) {
        const NetnsId& netns = due[i]->netns;
        if (i >= (misses(netns) ? most_listings_at_once : listings_at_once)) {
            if (misses(netns)) unasked_.push_back(netns);
            continue;
        }
        listed_[netns] = now.mono;
        const auto found = probes_.listeners_of(*due[i]);
        if (!found) continue; // gone, or closed to us
        for (const probes::ListenerReading& listener : *found)
            if (!held.contains(listener.cookie)) listeners_.push_back(listener);
    }
}

// What an event does not tell, a look at all listeners of its namespace does.
bool Collector::look_at(const NetnsId& netns, Now now) {
    const auto about = std::ranges::find(namespaces_, netns, &probes::NetnsReading::netns);
    if (about == namespaces_.end() || now.mono < next_look_) return false;
    const auto found = probes_.listeners_of(*about);
    const MonoTime end = sys::now().mono;
    next_look_ = end + look_pause * (end - now.mono);
    if (found) tcp_.looked(*found, now.mono);
    return found.has_value();
}

Snapshot Collector::tick(Now now) {
    problems_.clear();
    node_reader_.tick(now.mono);
    forget_writes(now.mono);
    Snapshot snapshot = blank(Snapshot::Cause::tick, now);
    refresh(now, next_census_);
    tcp_.tick(snapshot, now.mono);
    read_softirq(snapshot);
    read_conntrack(snapshot);
    return snapshot;
}

void Collector::read_softirq(Snapshot& snapshot) {
    if (snapshot.source(Probe::softirq) == Rung::none) return;
    const std::uint64_t limit = probes_.netdev_max_backlog().value_or(0);
    for (const probes::SoftirqReading& now : reading(probes_.softirq())) {
        const probes::SoftirqReading& base = softirq_base_.try_emplace(now.cpu, now).first->second;
        snapshot.softirq.push_back({.cpu = now.cpu,
                                    .processed = now.processed - base.processed,
                                    .dropped = now.dropped - base.dropped,
                                    .time_squeeze = now.time_squeeze - base.time_squeeze,
                                    .backlog = now.backlog,
                                    .backlog_limit = limit});
    }
}

void Collector::read_conntrack(Snapshot& snapshot) {
    // Read in any case: a module that was loaded meanwhile is found by that, and its rung is another one then.
    auto result = probes_.conntrack(namespaces_);
    const bool read = result.has_value();
    const auto readings = reading(std::move(result));
    snapshot.sources[static_cast<std::size_t>(Probe::conntrack)] = probes_.rung(Probe::conntrack);
    const auto limit = probes_.conntrack_max();
    if (!limit) { // what is loaded later counts from its birth
        conntrack_.clear();
        conntrack_started_ = true;
    }
    if (!limit || !read) return;
    const double seconds = Seconds(snapshot.interval).count();
    for (auto& [netns, table] : conntrack_) table.seen = false;
    for (const probes::ConntrackReading& now : readings) {
        auto [entry, is_new] = conntrack_.try_emplace(now.netns);
        Table& table = entry->second;
        if (is_new && !conntrack_started_) table.base = now;
        const Conntrack before = table.row;
        Conntrack& row = table.row;
        table.seen = true;
        row = {.netns = now.netns,
               .entries = now.entries,
               .limit = *limit,
               .buckets = probes_.conntrack_buckets().value_or(0),
               .drops = now.drops - table.base.drops,
               .early_drops = now.early_drops - table.base.early_drops,
               .insert_failed = now.insert_failed - table.base.insert_failed};
        const auto inserts_before = std::exchange(table.inserts, now.inserts);
        if (seconds > 0 && now.inserts && inserts_before && *now.inserts >= *inserts_before)
            row.inserts_per_second = static_cast<double>(*now.inserts - *inserts_before) / seconds;
        row.window_drops = row.drops + row.early_drops - before.drops - before.early_drops;
        if (seconds > 0 && !is_new)
            row.entries_per_second = (static_cast<double>(now.entries) - static_cast<double>(before.entries)) / seconds;
        if (row.entries_per_second > 0)
            row.full_in_seconds = (static_cast<double>(*limit) - static_cast<double>(std::min(now.entries, *limit))) /
                                  row.entries_per_second;
        else if (now.entries >= *limit)
            row.full_in_seconds = 0;
    }
    std::erase_if(conntrack_, [](const auto& entry) { return !entry.second.seen; });
    conntrack_started_ = true;
    sample_conntrack(snapshot.time, snapshot.interval);
    for (const probes::ConntrackReading& now : readings) snapshot.conntrack.push_back(conntrack_.at(now.netns).row);
}

// A raise is for connections, so before one is considered it is looked what the entries are. The table that has waited
// longest comes first. What cannot be looked at stays unknown.
void Collector::sample_conntrack(Now now, Nanoseconds interval) {
    std::vector<Table*> waiting;
    for (auto& [netns, table] : conntrack_) {
        if (!may_be_raised(table.row))
            table.sample.reset();
        else if (!table.sample || now.mono >= table.sampled + sample_pause)
            waiting.push_back(&table);
    }
    std::ranges::sort(waiting, {}, &Table::sampled);
    const Nanoseconds begin = sys::thread_cpu_time();
    for (Table* table : waiting) {
        if (table != waiting.front() && sys::thread_cpu_time() - begin > interval / sample_part) break;
        const auto netns = std::ranges::find(namespaces_, table->row.netns, &probes::NetnsReading::netns);
        if (netns == namespaces_.end()) continue;
        const auto sample = probes_.sample_conntrack(*netns, sample_entries);
        table->sample = sample ? std::optional(*sample) : std::nullopt;
        table->sampled = now.mono;
    }
    for (auto& [netns, table] : conntrack_) {
        if (!table.sample || table.sample->entries == 0) continue;
        table.row.unanswered_ratio =
            static_cast<double>(table.sample->unanswered) / static_cast<double>(table.sample->entries);
        table.row.flood = conntrack_flood(*table.sample);
    }
}

void Collector::remember(const probes::SysctlWriteEvent& write) {
    const auto is_same = [&](const SysctlWrite& other) {
        return other.netns == write.netns && other.sysctl == write.sysctl;
    };
    if (std::ranges::count_if(sysctl_writes_, is_same) >= most_writes_of_one)
        sysctl_writes_.erase(std::ranges::find_if(sysctl_writes_, is_same));
    else if (sysctl_writes_.size() == most_writes)
        sysctl_writes_.erase(sysctl_writes_.begin());
    sysctl_writes_.push_back({.time = write.time,
                              .netns = write.netns,
                              .sysctl = write.sysctl,
                              .value = sys::sysctl_number(write.value),
                              .pid = write.pid,
                              .command = printable(write.command)});
}

void Collector::forget_writes(MonoTime now) {
    std::erase_if(sysctl_writes_, [&](const SysctlWrite& write) { return write.time < now - writes_remembered; });
}

std::optional<Snapshot> Collector::on_event(const probes::Event& event, Now now) {
    if (const auto* began = std::get_if<probes::ListenEvent>(&event)) {
        tcp_.began(*began);
    } else if (const auto* exhausted = std::get_if<probes::PortsExhaustedEvent>(&event)) {
        tcp_.ports_exhausted(*exhausted);
    } else if (const auto* pressure = std::get_if<probes::PressureEvent>(&event)) {
        if (!tcp_.knows_whose(*pressure) && !look_at(pressure->netns, now)) return std::nullopt;
        Snapshot snapshot = blank(Snapshot::Cause::pressure, now);
        if (tcp_.pressure(*pressure, snapshot)) return snapshot;
    } else if (const auto* write = std::get_if<probes::SysctlWriteEvent>(&event)) {
        remember(*write);
    }
    return std::nullopt;
}

std::optional<Snapshot> Collector::follow_bursts(Now now) {
    Snapshot snapshot = blank(Snapshot::Cause::pressure, now);
    refresh(now, next_burst_census_);
    if (!tcp_.follow_bursts(snapshot, now.mono, longest_burst)) return std::nullopt;
    return snapshot;
}

} // namespace bpftune::signals

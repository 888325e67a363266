// SPDX-License-Identifier: Apache-2.0
#include "signals/tcp_table.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "signals/attribution.hpp"

namespace bpftune::signals {
namespace {

double per_second(std::uint64_t count, Nanoseconds interval) {
    const double seconds = Seconds(interval).count();
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::uint64_t entries_of(const probes::NetnsReading& reading) { return reading.time_waited + reading.time_wait_killed; }

// Which listener takes a connection to `local`: an exact address before a wildcard (net/ipv4/inet_hashtables.c,
// compute_score). "::" takes IPv4 too unless it is v6-only, which only matters where a v4 wildcard listens as well.
int score(const Endpoint& listening, const Endpoint& local) {
    constexpr std::string_view mapped = "::ffff:";
    std::string_view address = local.address;
    if (address.starts_with(mapped)) address.remove_prefix(mapped.size());
    std::string_view own = listening.address;
    if (own.starts_with(mapped)) own.remove_prefix(mapped.size());
    if (own == address) return 3;
    if (own == "0.0.0.0") return address.find(':') == std::string_view::npos ? 2 : 0;
    return own == "::" ? 1 : 0;
}

// Of each lost SYN and last ACK the kernel says that it was dropped, and then of some that the accept queue was the
// cause. What is left found the SYN queue full: at `sk_max_ack_backlog` (counted as TCPReqQFullDrop too) or, where
// syncookies are off, at three quarters of tcp_max_syn_backlog (counted nowhere else; net/ipv4/tcp_input.c,
// tcp_conn_request).
std::uint64_t syn_drops_of(const probes::NetnsReading& reading) {
    return reading.listen_drops - std::min(reading.listen_drops, reading.listen_overflows);
}

std::uint64_t accepted(std::uint64_t arrivals, std::uint32_t before, std::uint32_t after) {
    const std::uint64_t available = arrivals + before;
    return available > after ? available - after : 0;
}

} // namespace

Binds binds_of(const Listener& listener, std::uint32_t max_syn_backlog, std::uint32_t syncookies) {
    if (syncookies == 0 && max_syn_backlog < listener.limit) return Binds::syn_backlog;
    if (listener.asked && *listener.asked > listener.limit) return Binds::somaxconn;
    return listener.limit == listener.somaxconn ? Binds::somaxconn : Binds::application;
}

void TcpTable::update(const Readings& readings, MonoTime now) {
    sees_arrivals_ = readings.queues.has_value();
    update_namespaces(readings.namespaces);
    if (readings.listeners) update_listeners(*readings.listeners, now);
    if (readings.queues) update_queues(*readings.queues);
    for (auto& [id, netns] : namespaces_) assign_overflows(id, netns);
    if (readings.listeners) close_unseen();
    std::erase_if(namespaces_, [](const auto& entry) { return !entry.second.seen; });
    started_ = true;
}

void TcpTable::update_namespaces(std::span<const probes::NetnsReading> readings) {
    for (auto& [id, netns] : namespaces_) netns.seen = false;
    for (const probes::NetnsReading& reading : readings) {
        auto [entry, is_new] = namespaces_.try_emplace(reading.netns);
        Namespace& netns = entry->second;
        if (is_new && !started_) netns.base = reading; // one that came later counts from its birth
        const probes::NetnsReading& base = netns.base;
        NetnsTcp& row = netns.row;
        netns.seen = true;
        netns.max_syn_backlog = reading.max_syn_backlog;
        netns.syncookies = reading.syncookies;
        const std::uint64_t overflows = reading.listen_overflows - base.listen_overflows;
        netns.unassigned += overflows - row.listen_overflows;
        row.netns = reading.netns;
        row.pid = reading.pid;
        row.somaxconn = reading.somaxconn;
        row.listen_overflows = overflows;
        const std::uint64_t syn_drops = syn_drops_of(reading) - std::min(syn_drops_of(reading), syn_drops_of(base));
        row.syn_dropped = std::max(row.syn_dropped, syn_drops); // the two sums are not of one instant
        row.cookies_sent = reading.cookies_sent - base.cookies_sent;
        row.cookies_returned = reading.cookies_returned - base.cookies_returned;
        row.time_wait_sockets = reading.time_wait_sockets;
        row.time_wait_limit = reading.time_wait_limit;
        row.time_wait_entries = entries_of(reading) - entries_of(base);
        row.time_wait_overflows = reading.time_wait_overflows - base.time_wait_overflows;
        if (reading.ports_exhausted) row.ports_exhausted = *reading.ports_exhausted - base.ports_exhausted.value_or(0);
    }
}

void TcpTable::take_in(const probes::ListenerReading& reading, bool is_new_socket, MonoTime now) {
    auto [entry, is_new] = listeners_.try_emplace(reading.cookie);
    Tracked& tracked = entry->second;
    Listener& row = tracked.row;
    const std::uint64_t claims =
        reading.overflows.value_or(reading.drops - std::min(reading.drops, reading.last_ack_overflows));
    if (is_new) {
        tracked.drops_base = is_new_socket ? 0 : reading.drops;
        tracked.claim.seen = is_new_socket ? 0 : claims;
        tracked.queue_before = row.window.peak = row.window.floor = reading.queue;
        if (is_new_socket) tracked.queue_before = row.window.floor = 0; // as it began
        if (sees_arrivals_) row.arrivals = row.window.arrivals = 0;
    }
    tracked.seen = true;
    tracked.queue_cookie = reading.queue_cookie;
    tracked.claim.fresh += claims - std::min(claims, tracked.claim.seen);
    tracked.claim.seen = std::max(claims, tracked.claim.seen);
    row.netns = reading.netns;
    row.cookie = reading.cookie;
    row.inode = reading.inode;
    row.local = reading.local;
    row.pid = reading.pid;
    row.fd = reading.fd;
    row.command = printable(reading.command);
    row.queue = reading.queue;
    row.limit = reading.limit;
    row.drops = reading.drops - std::min(reading.drops, tracked.drops_base);
    if (reading.asked) row.asked = reading.asked;
    row.queue_peak = std::max(row.queue_peak, reading.queue);
    row.window.peak = std::max(row.window.peak, reading.queue);
    row.window.floor = std::min(row.window.floor, reading.queue);
    row.read = now;
    if (tracked.burst) tracked.burst->peak = std::max(tracked.burst->peak, reading.queue);
}

void TcpTable::update_listeners(std::span<const probes::ListenerReading> readings, MonoTime now) {
    for (auto& [cookie, tracked] : listeners_) tracked.seen = false;
    for (const probes::ListenerReading& reading : readings) take_in(reading, started_, now);
    index();
}

void TcpTable::began(const probes::ListenEvent& event) {
    take_in(event.listener, true, event.time);
    index();
}

void TcpTable::ports_exhausted(const probes::PortsExhaustedEvent& event) {
    const auto netns = namespaces_.find(event.netns);
    if (netns == namespaces_.end()) return;
    netns->second.row.ports_exhausted_command = printable(event.command);
    netns->second.row.ports_exhausted_pid = event.pid;
}

void TcpTable::index() {
    by_port_.clear();
    by_queue_.clear();
    for (const auto& [cookie, tracked] : listeners_) {
        by_port_.emplace(std::pair(tracked.row.netns, tracked.row.local.port), cookie);
        by_queue_.emplace(tracked.queue_cookie, cookie);
    }
}

// The listeners that take connections to `local`: several where they share the port by SO_REUSEPORT.
std::vector<TcpTable::Tracked*> TcpTable::at(const NetnsId& netns, const Endpoint& local) {
    std::vector<Tracked*> best;
    int best_score = 1;
    const auto [first, last] = by_port_.equal_range({netns, local.port});
    for (auto entry = first; entry != last; ++entry) {
        Tracked& tracked = listeners_.at(entry->second);
        const int fit = score(tracked.row.local, local);
        if (fit > best_score) best.clear();
        if (fit < best_score) continue;
        best_score = fit;
        best.push_back(&tracked);
    }
    return best;
}

// The listener whose queue it is; where that is not said (`cookie` 0), those at the address.
std::vector<TcpTable::Tracked*> TcpTable::with_queue(std::uint64_t cookie, const NetnsId& netns,
                                                     const Endpoint& local) {
    const auto known = by_queue_.find(cookie);
    if (cookie == 0 || known == by_queue_.end()) return at(netns, local);
    return {&listeners_.at(known->second)};
}

void TcpTable::update_queues(std::span<const probes::QueueReading> readings) {
    for (const probes::QueueReading& reading : readings) {
        if (reading.epoch_arrivals == 0 && !reading.epoch_syn_peak) continue;
        const std::vector<Tracked*> listeners = with_queue(reading.cookie, reading.netns, reading.local);
        for (std::size_t i = 0; i < listeners.size(); ++i) {
            Tracked& tracked = *listeners[i];
            Listener& row = tracked.row;
            // Which of a group took a connection is not known here: an equal share each.
            const std::uint64_t arrivals = (reading.epoch_arrivals + i) / listeners.size();
            row.arrivals = row.arrivals.value_or(0) + arrivals;
            row.queue_peak = std::max(row.queue_peak, reading.epoch_peak);
            row.window.arrivals = row.window.arrivals.value_or(0) + arrivals;
            row.window.peak = std::max(row.window.peak, reading.epoch_peak);
            row.window.floor = std::min(row.window.floor, reading.epoch_floor);
            row.syn_queue = std::max(row.syn_queue, reading.epoch_syn_peak);
            if (!tracked.burst) continue;
            tracked.burst->arrivals += arrivals;
            tracked.burst->peak = std::max(tracked.burst->peak, reading.epoch_peak);
        }
    }
}

void TcpTable::assign_overflows(const NetnsId& id, Namespace& netns) {
    std::vector<Tracked*> owners;
    std::vector<std::uint64_t> claims;
    for (auto& [cookie, tracked] : listeners_) {
        if (tracked.row.netns != id) continue;
        owners.push_back(&tracked);
        claims.push_back(tracked.claim.old + tracked.claim.fresh);
    }
    const std::vector<std::uint64_t> shares = divide(netns.unassigned, claims);
    const bool one_claims = std::ranges::count_if(claims, [](std::uint64_t claim) { return claim > 0; }) <= 1;
    const bool estimated = !one_claims && shares != claims;
    for (std::size_t i = 0; i < owners.size(); ++i) {
        Claim& claim = owners[i]->claim;
        if (shares[i] > 0) owners[i]->row.overflows_estimated |= estimated;
        owners[i]->row.overflows += shares[i];
        netns.unassigned -= shares[i];
        const std::uint64_t from_old = std::min(claim.old, shares[i]);
        claim.old = claim.fresh - (shares[i] - from_old);
        claim.fresh = 0;
    }
}

void TcpTable::close_unseen() {
    for (auto entry = listeners_.begin(); entry != listeners_.end();) {
        const Tracked& tracked = entry->second;
        if (tracked.seen) {
            ++entry;
            continue;
        }
        if (const auto netns = namespaces_.find(tracked.row.netns); netns != namespaces_.end()) {
            netns->second.of_closed += tracked.row.overflows + std::exchange(netns->second.unassigned, 0);
        }
        entry = listeners_.erase(entry);
    }
    index();
}

Listener TcpTable::row_of(const Tracked& tracked) const {
    Listener row = tracked.row;
    const auto netns = namespaces_.find(row.netns);
    if (netns == namespaces_.end()) return row;
    row.somaxconn = netns->second.row.somaxconn;
    row.binds = binds_of(row, netns->second.max_syn_backlog, netns->second.syncookies);
    row.flood = tracked.connect_flood ? tracked.connect_flood : netns->second.syns.flood();
    return row;
}

void TcpTable::end_window(Tracked& tracked, MonoTime began, MonoTime now) {
    Listener& row = tracked.row;
    row.window.length = now - began;
    row.window.accepted = accepted(row.window.arrivals.value_or(0), tracked.queue_before, row.queue);
    row.window.overflows = row.overflows - tracked.overflows_before;
    row.overflows_per_second = per_second(row.window.overflows, row.window.length);
    tracked.connect_flood = connect_flood(row, tracked.connect_flood);
}

void TcpTable::begin_window(Tracked& tracked, MonoTime now) const {
    Listener& row = tracked.row;
    tracked.window_began = now;
    tracked.queue_before = row.queue;
    tracked.overflows_before = row.overflows;
    row.window = {.peak = row.queue, .floor = row.queue};
    if (sees_arrivals_) row.window.arrivals = 0;
}

void TcpTable::watch_syns(MonoTime now) {
    std::map<NetnsId, std::uint64_t> arrivals;
    for (const auto& [cookie, tracked] : listeners_) arrivals[tracked.row.netns] += tracked.row.arrivals.value_or(0);
    for (auto& [id, netns] : namespaces_) {
        SynCounts counts{.cookies_sent = netns.row.cookies_sent,
                         .cookies_returned = netns.row.cookies_returned,
                         .refused = netns.row.syn_dropped};
        if (sees_arrivals_) counts.arrivals = arrivals[id];
        netns.syns.update(counts, now);
        netns.row.flood = netns.syns.flood();
    }
}

void TcpTable::tick(Snapshot& snapshot, MonoTime now) {
    const MonoTime last_tick = last_tick_.value_or(now);
    const Nanoseconds interval = now - last_tick;
    last_tick_ = now;
    snapshot.interval = interval;
    watch_syns(now);
    for (auto& [cookie, tracked] : listeners_) {
        // Where arrivals are not seen, a queue is known as of each census: what is between two of them is one window.
        const bool looked_at = sees_arrivals_ || tracked.row.read > last_tick;
        if (looked_at) end_window(tracked, tracked.window_began.value_or(last_tick), now);
        snapshot.listeners.push_back(row_of(tracked));
        if (looked_at) begin_window(tracked, now);
        tracked.row.syn_queue.reset();
    }
    for (auto& [id, netns] : namespaces_) {
        netns.row.overflows_of_closed = netns.of_closed + netns.unassigned;
        netns.row.time_wait_entries_per_second =
            per_second(netns.row.time_wait_entries - netns.entries_before, interval);
        netns.entries_before = netns.row.time_wait_entries;
        snapshot.tcp.push_back(netns.row);
    }
}

bool TcpTable::pressure(const probes::PressureEvent& event, Snapshot& snapshot) {
    const std::vector<Tracked*> about = with_queue(event.cookie, event.netns, event.local);
    for (Tracked* tracked : about) {
        tracked->row.queue = event.depth;
        tracked->row.limit = event.limit;
        tracked->row.read = event.time;
        tracked->row.queue_peak = std::max(tracked->row.queue_peak, event.depth);
        tracked->row.window.peak = std::max(tracked->row.window.peak, event.depth);
        if (!tracked->burst)
            tracked->burst = Burst{.since = event.busy_since, .overflows_base = tracked->row.overflows};
        tracked->burst->peak = std::max(tracked->burst->peak, event.depth);
    }
    for (const auto& [cookie, tracked] : listeners_) {
        if (tracked.row.netns != event.netns) continue;
        Listener row = row_of(tracked);
        row.window = {};
        if (std::ranges::find(about, &tracked) != about.end()) {
            row.window = {.length = std::max(event.time - event.busy_since, Nanoseconds(1)),
                          .peak = event.depth,
                          .arrivals = event.busy_arrivals,
                          .accepted = accepted(event.busy_arrivals, 0, event.depth),
                          .event = event.time};
        }
        snapshot.listeners.push_back(std::move(row));
    }
    return !about.empty();
}

bool TcpTable::follow_bursts(Snapshot& snapshot, MonoTime now, Nanoseconds longest) {
    std::vector<NetnsId> about;
    for (const auto& [cookie, tracked] : listeners_)
        if (tracked.burst) about.push_back(tracked.row.netns);
    for (auto& [cookie, tracked] : listeners_) {
        if (std::ranges::find(about, tracked.row.netns) == about.end()) continue;
        Listener row = row_of(tracked);
        row.window = {};
        if (tracked.burst) {
            const Burst& burst = *tracked.burst;
            row.window = {.length = std::max(now - burst.since, Nanoseconds(1)),
                          .peak = burst.peak,
                          .arrivals = burst.arrivals,
                          .accepted = accepted(burst.arrivals, 0, row.queue),
                          .overflows = row.overflows - burst.overflows_base};
            const bool over = std::uint64_t{row.queue} * 4 <= row.limit;
            if (over || now - burst.since > longest) tracked.burst.reset();
        }
        snapshot.listeners.push_back(std::move(row));
    }
    return !about.empty();
}

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
#include "signals/tcp_table.hpp"

#include <algorithm>
#include <numeric>

#include "core/text.hpp"
#include "signals/attribution.hpp"
#include "signals/gain.hpp"

namespace bpftune::signals {
namespace {

// Namespaces that are seen no more are remembered, so that what is seen again goes on where it was.
constexpr Nanoseconds namespaces_remembered = std::chrono::minutes(10);
constexpr std::size_t most_namespaces_remembered = 4096;
// Sockets that began to listen since the last census; more are found by it. No namespace takes another's place.
constexpr std::size_t most_begun = 16384;
constexpr std::size_t most_begun_in_one = most_begun / 8;

double per_second(std::uint64_t count, Nanoseconds interval) {
    const double seconds = Seconds(interval).count();
    return seconds > 0 ? static_cast<double>(count) / seconds : 0;
}

std::uint64_t sum_of(std::span<const std::uint64_t> counts) {
    return std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
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

// So many handshakes may be under way where syncookies are off before SYNs of unknown clients are dropped, without a
// counter of their own (net/ipv4/tcp_input.c, tcp_conn_request).
std::uint32_t three_quarters(std::uint32_t max_syn_backlog) { return max_syn_backlog - max_syn_backlog / 4; }

std::uint64_t accepted(std::uint64_t arrivals, std::uint32_t before, std::uint32_t after) {
    const std::uint64_t available = arrivals + before;
    return available > after ? available - after : 0;
}

bool is_pressed(const Listener& row) { return std::uint64_t{row.queue} * 2 > row.limit; }

// Of sk_drops, what may be overflows; where those are known, they.
std::uint64_t claims_of(const probes::ListenerReading& reading) {
    return reading.overflows.value_or(gain(reading.last_ack_overflows, reading.drops));
}

} // namespace

std::optional<double> retransmitted_percent(const probes::NetnsReading::Segments& segments) {
    const std::uint64_t all = segments.sent + segments.retransmitted;
    if (all == 0) return std::nullopt;
    return 100 * static_cast<double>(segments.retransmitted) / static_cast<double>(all);
}

Binds binds_of(const Listener& listener, std::uint32_t max_syn_backlog, std::uint32_t syncookies) {
    // Peers that are known to be alive are not held to the three quarters (tcp_peer_is_proven): then a SYN queue fills.
    const bool is_full = listener.syn_queue && *listener.syn_queue >= listener.limit;
    if (syncookies == 0 && three_quarters(max_syn_backlog) < listener.limit && !is_full) return Binds::syn_backlog;
    return accept_queue_binds(listener);
}

void TcpTable::update(const Readings& readings, MonoTime now) {
    sees_arrivals_ = readings.queues.has_value();
    update_namespaces(readings.namespaces, now);
    if (readings.listeners) update_listeners(readings, now);
    if (readings.queues) update_queues(*readings.queues);
    for (const NetnsId& id : readings.left_out) {
        if (const auto netns = namespaces_.find(id); netns != namespaces_.end()) netns->second.lacks_arrivals = true;
        for (Tracked* listener : listeners_of(id)) share(*listener);
    }
    for (auto& [id, netns] : namespaces_) {
        // Between two censuses nothing overflows in most.
        if (!netns.seen || (!readings.listeners && netns.unassigned == 0 && !netns.has_claims)) continue;
        const std::vector<Tracked*> listeners = listeners_of(id);
        if (readings.listeners) {
            explain_drops(listeners, netns);
            explain_deferred(listeners, netns);
            drop_claims_of_low_queues(listeners);
        }
        count_first_overflows(listeners, netns);
        assign_overflows(listeners, netns);
        if (readings.listeners) end_census(netns);
    }
    if (readings.listeners) close_unseen(readings.unasked);
    forget_namespaces(now);
    started_ = true;
}

// What was gained since the reading before.
void TcpTable::count(Namespace& netns, const probes::NetnsReading& reading) {
    const auto gained = [&](auto member) { return gain(netns.last.*member, reading.*member); };
    using Reading = probes::NetnsReading;
    NetnsTcp& row = netns.row;
    const std::uint64_t overflows = gained(&Reading::listen_overflows);
    const std::uint64_t refused = gained(&Reading::syn_queue_full_drops);
    row.listen_overflows += overflows;
    netns.unassigned += overflows;
    row.syn_dropped += refused;
    netns.syn_drops += refused;
    // The sums are not of one instant: what comes late on one side is made up for by the next reading.
    netns.unexplained += static_cast<std::int64_t>(gained(&Reading::listen_drops) - overflows - refused);
    netns.deferred += gained(&Reading::deferred);
    row.cookies_sent += gained(&Reading::cookies_sent);
    row.cookies_returned += gained(&Reading::cookies_returned);
    row.fastopen_requests += gained(&Reading::fastopen_requests);
    row.fastopen_opened += gained(&Reading::fastopen_opened);
    row.fastopen_failed += gained(&Reading::fastopen_failed);
    row.time_wait_entries += gain(entries_of(netns.last), entries_of(reading));
    row.time_wait_overflows += gained(&Reading::time_wait_overflows);
    if (!netns.last.segments || !reading.segments) return;
    const std::uint64_t sent = gain(netns.last.segments->sent, reading.segments->sent);
    const std::uint64_t again = gain(netns.last.segments->retransmitted, reading.segments->retransmitted);
    netns.segments.sent += sent;
    netns.segments.retransmitted += again;
    netns.segments.connects += gain(netns.last.segments->connects, reading.segments->connects);
    row.segments_sent = row.segments_sent.value_or(0) + sent;
    row.segments_retransmitted = row.segments_retransmitted.value_or(0) + again;
}

void TcpTable::update_namespaces(std::span<const probes::NetnsReading> readings, MonoTime now) {
    for (auto& [id, netns] : namespaces_) netns.seen = false;
    const std::optional<MonoTime> before = std::exchange(namespaces_read_, now);
    for (const probes::NetnsReading& reading : readings) {
        auto [entry, is_new] = namespaces_.try_emplace(reading.netns);
        Namespace& netns = entry->second;
        if (!is_new && netns.seen_last == before) count(netns, reading);
        if (is_new && started_) netns.first_overflows = reading.listen_overflows;
        // Counted by the probe: all of them are since it began.
        if (reading.ports_exhausted) {
            const std::uint64_t ports = *reading.ports_exhausted;
            if (!started_) netns.ports_counted = ports;
            netns.row.ports_exhausted = netns.row.ports_exhausted.value_or(0) + gain(netns.ports_counted, ports);
            netns.ports_counted = ports;
            const std::uint64_t of_netns = ports - std::min(ports, reading.own_ports_exhausted);
            if (!started_) netns.of_range_before = of_netns;
            netns.of_range = of_netns;
        }
        if (reading.segments && !netns.row.segments_sent)
            netns.row.segments_sent = netns.row.segments_retransmitted = 0;
        netns.last = reading;
        netns.seen = true;
        netns.seen_last = now;
        netns.row.netns = reading.netns;
        netns.row.pid = reading.pid;
        // Of one that is not looked into each time: what this process has written since is not read yet.
        if (reading.read == MonoTime{} || reading.read > netns.wrote) {
            netns.row.somaxconn = reading.somaxconn;
            netns.row.max_syn_backlog =
                reading.somaxconn ? std::optional(reading.max_syn_backlog) : std::nullopt; // known where that is
        }
        netns.row.fastopen = reading.fastopen;
        netns.row.local_ports = reading.local_ports;
        netns.row.tw_reuse = reading.tw_reuse;
        netns.row.tw_reuse_delay_ms = reading.tw_reuse_delay_ms;
        netns.row.time_wait_sockets = reading.time_wait_sockets;
        netns.row.time_wait_limit = reading.time_wait_limit;
    }
}

void TcpTable::forget_namespaces(MonoTime now) {
    std::vector<std::pair<MonoTime, NetnsId>> gone;
    for (const auto& [id, netns] : namespaces_)
        if (!netns.seen) gone.emplace_back(netns.seen_last, id);
    std::ranges::sort(gone);
    for (std::size_t i = 0; i < gone.size(); ++i)
        if (gone.size() - i > most_namespaces_remembered || now - gone[i].first > namespaces_remembered)
            namespaces_.erase(gone[i].second);
}

// What a reading says of how much waits, and of how much may.
void TcpTable::note_queue(Tracked& tracked, const probes::ListenerReading& reading, MonoTime now) {
    Listener& row = tracked.row;
    if (reading.limit != row.limit) tracked.limit_before = row.limit;
    row.queue = reading.queue;
    note_limit(tracked, reading.limit);
    row.read = tracked.looked = now;
    row.queue_peak = std::max(row.queue_peak, reading.queue);
    row.window.peak = std::max(row.window.peak, reading.queue);
    row.window.floor = std::min(row.window.floor, reading.queue);
    if (reading.queue == 0) tracked.empty = now;
    tracked.fill.peak = std::max(tracked.fill.peak, reading.queue);
    tracked.fill.limit = std::min(tracked.fill.limit, reading.limit);
    if (tracked.burst) tracked.burst->peak = std::max(tracked.burst->peak, reading.queue);
}

void TcpTable::note_place(Tracked& tracked, const probes::ListenerReading& reading) {
    const Listener& row = tracked.row;
    by_port_.erase({row.netns, row.local.port, row.cookie});
    by_port_.insert({reading.netns, reading.local.port, reading.cookie});
    by_queue_.erase(tracked.queue_cookie);
    by_queue_[reading.queue_cookie] = reading.cookie;
    tracked.queue_cookie = reading.queue_cookie;
}

TcpTable::Tracked& TcpTable::take_in(const probes::ListenerReading& reading, bool is_new_socket, MonoTime now) {
    auto [entry, is_new] = listeners_.try_emplace(reading.cookie);
    Tracked& tracked = entry->second;
    Listener& row = tracked.row;
    const bool moved = row.local.port != reading.local.port || tracked.queue_cookie != reading.queue_cookie;
    if (is_new || moved) note_place(tracked, reading);
    if (is_new) {
        tracked.drops_base = tracked.drops_read = is_new_socket ? 0 : reading.drops;
        tracked.claim.seen = is_new_socket ? 0 : claims_of(reading);
        tracked.queue_before = row.window.floor = is_new_socket ? 0 : reading.queue; // as it began
        tracked.limit_before = row.limit = reading.limit;
        tracked.empty = now;
        if (sees_arrivals_) row.arrivals = row.window.arrivals = 0;
    }
    tracked.seen = true;
    tracked.transparent = reading.transparent.value_or(false);
    tracked.defers = reading.defers;
    const bool was_known = std::exchange(tracked.overflows_known, reading.overflows.has_value());
    // A queue that was made anew counts from 0; and what is guessed from drops is another count, which goes on from
    // now.
    if (!is_new && was_known && !tracked.overflows_known) tracked.claim.seen = claims_of(reading);
    if (!is_new && tracked.overflows_known && (!was_known || claims_of(reading) < tracked.claim.seen))
        tracked.claim.seen = 0;
    tracked.claim.fresh += gain(tracked.claim.seen, claims_of(reading));
    tracked.claim.seen = std::max(claims_of(reading), tracked.claim.seen);
    tracked.fresh_drops = gain(tracked.drops_read, reading.drops);
    tracked.drops_read = std::max(tracked.drops_read, reading.drops);
    row.netns = reading.netns;
    row.cookie = reading.cookie;
    row.inode = reading.inode;
    row.local = reading.local;
    row.pid = reading.pid;
    row.fd = reading.fd;
    row.command = printable(reading.command);
    row.is_held_by_init = reading.is_held_by_init;
    if (reading.fastopen_queue) row.fastopen_queue = reading.fastopen_queue;
    row.drops = gain(tracked.drops_base, tracked.drops_read);
    tracked.syn_queue_read = reading.syn_queue.value_or(0);
    tracked.syn_queue = std::max(tracked.syn_queue, tracked.syn_queue_read);
    if (reading.syn_queue) row.syn_queue = std::max(row.syn_queue, reading.syn_queue);
    if (is_new) tracked.limit_known = reading.limit;
    note_queue(tracked, reading, now);
    const auto netns = namespaces_.find(row.netns);
    if (netns != namespaces_.end()) netns->second.has_claims |= tracked.claim.fresh > 0;
    if (reading.asked && reading.asked != tracked.asked_seen) {
        row.asked = tracked.asked_seen = reading.asked;
        tracked.asked_for_all = netns == namespaces_.end() || reading.asked >= netns->second.row.somaxconn;
    }
    return tracked;
}

void TcpTable::update_listeners(const Readings& readings, MonoTime now) {
    for (auto& [cookie, tracked] : listeners_) {
        tracked.seen = readings.unheld != nullptr && readings.unheld->contains(cookie);
        tracked.fresh_drops = 0;
    }
    for (const probes::ListenerReading& reading : *readings.listeners) {
        known(reading.cookie);
        take_in(reading, readings.lists_whole_namespaces && listed_.contains(reading.netns), now);
    }
    // Those of before the census that it has not found have ended.
    std::erase_if(began_, [&](const auto& entry) {
        const probes::ListenEvent& event = entry.second;
        if (event.time >= now) return false;
        by_port_.erase({event.listener.netns, event.listener.local.port, entry.first});
        --began_in_[event.listener.netns];
        return true;
    });
    std::erase_if(began_in_, [](const auto& entry) { return entry.second == 0; });
    listed_.clear();
    if (!readings.lists_whole_namespaces) return;
    for (const probes::NetnsReading& netns : readings.namespaces) listed_.insert(netns.netns);
}

void TcpTable::began(const probes::ListenEvent& event) {
    const probes::ListenerReading& listener = event.listener;
    if (listeners_.contains(listener.cookie)) return;
    if (!began_.contains(listener.cookie)) {
        std::size_t& of_netns = began_in_[listener.netns];
        if (began_.size() >= most_begun || of_netns >= most_begun_in_one) {
            ++not_taken_in_;
            return;
        }
        ++of_netns;
    }
    began_.insert_or_assign(listener.cookie, event);
    by_port_.insert({listener.netns, listener.local.port, listener.cookie});
}

void TcpTable::looked(std::span<const probes::ListenerReading> readings, MonoTime now) {
    for (const probes::ListenerReading& reading : readings)
        if (Tracked* tracked = known(reading.cookie); tracked != nullptr) note_queue(*tracked, reading, now);
}

std::vector<NetnsId> TcpTable::missing_in(std::span<const probes::ListenerReading> census,
                                          const std::set<std::uint64_t>& unheld) const {
    std::set<std::uint64_t> there = unheld;
    for (const probes::ListenerReading& reading : census) there.insert(reading.cookie);
    std::set<NetnsId> missing;
    for (const auto& [cookie, tracked] : listeners_)
        if (!there.contains(cookie)) missing.insert(tracked.row.netns);
    return {missing.begin(), missing.end()};
}

// A second listen() of a socket that listens is seen by no probe (net/ipv4/af_inet.c, __inet_listen_sk), but in its
// limit: one that changed without a write of ours is what was asked for, or as much of it as somaxconn allows.
void TcpTable::note_limit(Tracked& tracked, std::uint32_t limit) {
    Listener& row = tracked.row;
    row.limit = limit;
    if (std::exchange(tracked.limit_known, limit) == limit) return;
    const auto netns = namespaces_.find(row.netns);
    const bool is_below = netns != namespaces_.end() && limit < netns->second.row.somaxconn;
    row.asked = is_below ? std::optional(limit) : std::nullopt;
    tracked.asked_for_all = false;
}

void TcpTable::wrote(const NetnsId& id, std::optional<std::uint32_t> NetnsTcp::* sysctl, std::uint32_t value,
                     MonoTime now) {
    const auto netns = namespaces_.find(id);
    if (netns == namespaces_.end()) return;
    netns->second.row.*sysctl = value;
    netns->second.wrote = now;
}

void TcpTable::wrote(std::uint64_t cookie, std::uint32_t limit, MonoTime now) {
    const auto listener = listeners_.find(cookie);
    if (listener == listeners_.end()) return;
    Tracked& tracked = listener->second;
    if (tracked.row.limit != limit) tracked.limit_before = tracked.row.limit;
    tracked.row.limit = tracked.limit_known = limit;
    tracked.row.read = now;
}

void TcpTable::ports_exhausted(const probes::PortsExhaustedEvent& event) {
    const auto netns = namespaces_.find(event.netns);
    if (netns == namespaces_.end()) return;
    netns->second.row.ports_exhausted_command = printable(event.command);
    netns->second.row.ports_exhausted_pid = event.pid;
    netns->second.row.ports_exhausted_at = event.time;
    netns->second.row.ports_exhausted_remote = event.remote;
}

// nullptr: it is not known. One that began to listen since the last census is there from now on.
TcpTable::Tracked* TcpTable::known(std::uint64_t cookie) {
    if (const auto found = listeners_.find(cookie); found != listeners_.end()) return &found->second;
    const auto begun = began_.extract(cookie);
    if (begun.empty()) return nullptr;
    --began_in_[begun.mapped().listener.netns];
    return &take_in(begun.mapped().listener, true, begun.mapped().time);
}

std::vector<TcpTable::Tracked*> TcpTable::listeners_of(const NetnsId& netns) {
    std::vector<Tracked*> found;
    for (auto place = by_port_.lower_bound({netns, 0, 0}); place != by_port_.end(); ++place) {
        if (std::get<NetnsId>(*place) != netns) break;
        const auto listener = listeners_.find(std::get<std::uint64_t>(*place));
        if (listener != listeners_.end()) found.push_back(&listener->second);
    }
    return found;
}

// The listeners that take connections to `local`: several where they share the port by SO_REUSEPORT.
std::vector<TcpTable::Tracked*> TcpTable::at(const NetnsId& netns, const Endpoint& local, bool transparent) {
    std::vector<std::uint64_t> cookies;
    for (auto place = by_port_.lower_bound({netns, local.port, 0}); place != by_port_.end(); ++place) {
        if (std::get<NetnsId>(*place) != netns || std::get<std::uint16_t>(*place) != local.port) break;
        cookies.push_back(std::get<std::uint64_t>(*place));
    }
    std::vector<Tracked*> best;
    int best_score = 1;
    for (const std::uint64_t cookie : cookies) {
        Tracked* tracked = known(cookie);
        if (tracked == nullptr || tracked->transparent != transparent) continue;
        const int fit = score(tracked->row.local, local);
        if (fit > best_score) best.clear();
        if (fit < best_score) continue;
        best_score = fit;
        best.push_back(tracked);
    }
    return best;
}

// The listener whose queue it is; where that is not said (`cookie` 0), those whose it may be: at the address, with
// IP_TRANSPARENT at any, and of several those that let as many wait as the connection's does.
std::vector<TcpTable::Tracked*> TcpTable::owners(std::uint64_t cookie, const NetnsId& netns, const Endpoint& local,
                                                 bool transparent, std::uint32_t limit) {
    if (cookie != 0) {
        const auto of_queue = by_queue_.find(cookie);
        Tracked* tracked = known(of_queue == by_queue_.end() ? cookie : of_queue->second);
        return tracked == nullptr ? std::vector<Tracked*>{} : std::vector{tracked};
    }
    std::vector<Tracked*> found = at(netns, local, transparent);
    if (found.empty() && transparent) {
        found = listeners_of(netns);
        std::erase_if(found, [](const Tracked* each) { return !each->transparent; });
    }
    const auto fits = [&](const Tracked* each) { return each->row.limit == limit; };
    if (found.size() > 1 && std::ranges::any_of(found, fits)) std::erase_if(found, std::not_fn(fits));
    return found;
}

void TcpTable::note_arrivals(Tracked& tracked, const probes::QueueReading& reading) {
    Listener& row = tracked.row;
    row.arrivals = row.arrivals.value_or(0) + reading.epoch_arrivals;
    row.queue_peak = std::max(row.queue_peak, reading.epoch_peak);
    if (!tracked.shares) row.window.arrivals = row.window.arrivals.value_or(0) + reading.epoch_arrivals;
    row.window.peak = std::max(row.window.peak, reading.epoch_peak);
    row.window.floor = std::min(row.window.floor, reading.epoch_floor);
    row.syn_queue = std::max(row.syn_queue, reading.epoch_syn_peak);
    tracked.syn_queue = std::max(tracked.syn_queue, reading.epoch_syn_peak.value_or(0));
    tracked.fill.peak = std::max(tracked.fill.peak, reading.epoch_peak);
    if (!tracked.burst) return;
    if (tracked.burst->arrivals) *tracked.burst->arrivals += reading.epoch_arrivals;
    tracked.burst->peak = std::max(tracked.burst->peak, reading.epoch_peak);
}

// Where something else steers connections (a program at sk_lookup), the listener at the address is not the one that
// they are for: that one lets as many wait as they say. A limit that nobody has is one that was set since the census.
bool TcpTable::may_be_of(const probes::QueueReading& reading, const Tracked& candidate) {
    if (candidate.row.limit == reading.limit || candidate.limit_before == reading.limit) return true;
    const std::vector<Tracked*> all = listeners_of(reading.netns);
    return std::ranges::none_of(all, [&](const Tracked* each) { return each->row.limit == reading.limit; });
}

void TcpTable::update_queues(std::span<const probes::QueueReading> readings) {
    for (const probes::QueueReading& reading : readings) {
        if (reading.epoch_arrivals == 0 && !reading.epoch_syn_peak) continue;
        if (const auto netns = namespaces_.find(reading.netns); netns != namespaces_.end())
            netns->second.arrivals += reading.epoch_arrivals;
        const std::vector<Tracked*> found =
            owners(reading.cookie, reading.netns, reading.local, reading.transparent, reading.limit);
        if (found.size() == 1 && (reading.cookie != 0 || may_be_of(reading, *found[0]))) {
            note_arrivals(*found[0], reading);
            continue;
        }
        // Which of them took a connection is not known here: an equal share each, and how full each of their queues
        // became is known by readings of their own alone.
        for (std::size_t i = 0; i < found.size(); ++i) {
            Tracked& tracked = *found[i];
            tracked.row.arrivals = tracked.row.arrivals.value_or(0) + (reading.epoch_arrivals + i) / found.size();
            share(tracked);
        }
    }
}

void TcpTable::share(Tracked& tracked) {
    tracked.row.window.arrivals.reset();
    tracked.shares = true;
    tracked.fill.is_known = false;
    if (tracked.burst) tracked.burst->arrivals.reset();
}

// A SYN queue that is full refuses SYNs: at the listener's limit they are counted (TCPReqQFullDrop), where syncookies
// are off and three quarters of tcp_max_syn_backlog are under way nowhere but in ListenDrops. What is left of those are
// other discards: no route, an ICMP error, no memory, a security module.
void TcpTable::explain_drops(std::span<Tracked* const> listeners, Namespace& netns) {
    const bool without_cookies = netns.last.somaxconn && netns.last.syncookies == 0;
    const std::uint32_t most = three_quarters(netns.last.max_syn_backlog);
    std::vector<std::uint64_t> of_full, of_others; // drops, of each listener
    bool last_quarter = false;
    netns.half_open = 0;
    for (Tracked* tracked : listeners) {
        const std::uint32_t limit = tracked->fill.limit; // one that was raised since was full at the lower one
        const std::uint32_t bound = without_cookies ? std::min(limit, most) : limit;
        const std::uint32_t held = std::exchange(tracked->syn_queue, tracked->syn_queue_read);
        const bool full = held > 0 && std::uint64_t{held} * 4 >= std::uint64_t{bound} * 3;
        of_full.push_back(full ? tracked->fresh_drops : 0);
        of_others.push_back(full ? 0 : tracked->fresh_drops);
        if (!full) continue;
        netns.half_open += held;
        last_quarter |= without_cookies && held >= most;
    }
    const std::uint64_t counted = std::exchange(netns.syn_drops, 0);
    std::uint64_t refused = counted;
    if (netns.unexplained > 0) {
        const auto drops = static_cast<std::uint64_t>(netns.unexplained);
        (last_quarter ? netns.row.syn_dropped : netns.row.other_drops) += drops;
        if (last_quarter) refused += drops;
        netns.unexplained = 0;
    }
    const std::vector<std::uint64_t> shares = divide(refused, of_full);
    for (std::size_t i = 0; i < listeners.size(); ++i) listeners[i]->row.window.syn_dropped += shares[i];
    charge_full_between(listeners, of_others, std::min(counted, refused - sum_of(shares)));
}

// What is left of the refused SYNs that the kernel counts is of queues that were full between two looks only. Each is
// in the sk_drops of its listener, so a listener has at the least what the drops of all others leave of them; and it
// held as many as its limit.
void TcpTable::charge_full_between(std::span<Tracked* const> listeners, std::span<const std::uint64_t> drops,
                                   std::uint64_t refused) {
    const std::uint64_t of_all = sum_of(drops);
    for (std::size_t i = 0; i < listeners.size(); ++i) {
        const std::uint64_t own = std::min(drops[i], gain(of_all - drops[i], refused));
        if (own == 0) continue;
        Listener& row = listeners[i]->row;
        row.window.syn_dropped += own;
        row.syn_queue = std::max(row.syn_queue.value_or(0), listeners[i]->fill.limit);
    }
}

// Each last ACK that waits for data (TCP_DEFER_ACCEPT) is in sk_drops, and overflowed nothing.
void TcpTable::explain_deferred(std::span<Tracked* const> listeners, Namespace& netns) {
    std::vector<Claim*> deferring;
    std::vector<std::uint64_t> claims;
    bool any_guessed = false;
    for (Tracked* tracked : listeners) {
        any_guessed |= !tracked->overflows_known;
        if (!tracked->defers || tracked->overflows_known) continue;
        deferring.push_back(&tracked->claim);
        claims.push_back(tracked->claim.old + tracked->claim.fresh);
    }
    const std::uint64_t fresh = std::exchange(netns.deferred, 0);
    std::uint64_t left = fresh + netns.deferred_before;
    const std::vector<std::uint64_t> shares = divide(left, claims);
    for (std::size_t i = 0; i < deferring.size(); ++i) {
        const std::uint64_t from_old = std::min(deferring[i]->old, shares[i]);
        deferring[i]->old -= from_old;
        deferring[i]->fresh -= shares[i] - from_old;
        left -= shares[i];
    }
    netns.hides_deferring = any_guessed && deferring.empty() && left > 0;
    netns.deferred_before = std::min(left, fresh); // their drops may be in the next census, but in no later one
}

// A queue that stayed no more than half full overflowed not at all, whatever was dropped there.
void TcpTable::drop_claims_of_low_queues(std::span<Tracked* const> listeners) const {
    for (Tracked* tracked : listeners) {
        const Fill& now = tracked->fill;
        const Fill& before = tracked->fill_before;
        const bool is_known = sees_arrivals_ && now.is_known && before.is_known && !tracked->overflows_known;
        const std::uint64_t peak = std::max(now.peak, before.peak);
        if (is_known && peak * 2 <= std::min(now.limit, before.limit)) tracked->claim.fresh = 0;
        tracked->fill_before = now;
        tracked->fill = {.peak = tracked->row.queue, .limit = tracked->row.limit};
    }
}

// Of what a namespace had counted when it was first seen, what a listener claims that was seen to begin came after it:
// most namespaces are new then.
void TcpTable::count_first_overflows(std::span<Tracked* const> listeners, Namespace& netns) {
    if (netns.first_overflows == 0) return;
    std::uint64_t claimed = 0;
    for (const Tracked* tracked : listeners) claimed += tracked->claim.old + tracked->claim.fresh;
    const std::uint64_t first = std::min(netns.first_overflows, gain(netns.unassigned, claimed));
    netns.first_overflows -= first;
    netns.unassigned += first;
    netns.row.listen_overflows += first;
}

// What no listener has claimed by the census after the next one was suffered by one that closed between two of them.
// (The counters of a namespace and those of its listeners are not of one instant.)
void TcpTable::end_census(Namespace& netns) {
    netns.first_overflows = 0;
    const std::uint64_t late = std::min(netns.unassigned, netns.unclaimed);
    netns.of_closed += late;
    netns.unassigned -= late;
    netns.unclaimed = netns.unassigned;
}

void TcpTable::assign_overflows(std::span<Tracked* const> listeners, Namespace& netns) {
    std::vector<std::uint64_t> claims;
    for (const Tracked* tracked : listeners) claims.push_back(tracked->claim.old + tracked->claim.fresh);
    const std::vector<std::uint64_t> shares =
        netns.hides_deferring ? least(netns.unassigned, claims) : divide(netns.unassigned, claims);
    const bool one_claims = std::ranges::count_if(claims, [](std::uint64_t claim) { return claim > 0; }) <= 1;
    const bool estimated = !one_claims && shares != claims;
    netns.has_claims = false;
    for (std::size_t i = 0; i < listeners.size(); ++i) {
        Claim& claim = listeners[i]->claim;
        if (shares[i] > 0) listeners[i]->row.overflows_estimated |= estimated;
        listeners[i]->row.overflows += shares[i];
        netns.unassigned -= shares[i];
        const std::uint64_t from_old = std::min(claim.old, shares[i]);
        claim.old = claim.fresh - (shares[i] - from_old);
        claim.fresh = 0;
        netns.has_claims |= claim.old > 0;
    }
    if (!netns.hides_deferring) return;
    netns.of_closed += std::exchange(netns.unassigned, 0); // nobody will say whose they are
    for (Tracked* tracked : listeners) tracked->claim.old = 0;
    netns.has_claims = false;
}

void TcpTable::close_unseen(std::span<const NetnsId> unasked) {
    const std::set<NetnsId> not_asked(unasked.begin(), unasked.end());
    for (auto entry = listeners_.begin(); entry != listeners_.end();) {
        const Tracked& tracked = entry->second;
        const Listener& row = tracked.row;
        if (tracked.seen || not_asked.contains(row.netns)) { // where nobody was asked, it may be there all the same
            ++entry;
            continue;
        }
        const auto netns = namespaces_.find(row.netns);
        if (netns != namespaces_.end())
            netns->second.of_closed += row.overflows + std::exchange(netns->second.unassigned, 0);
        by_port_.erase({row.netns, row.local.port, row.cookie});
        by_queue_.erase(tracked.queue_cookie);
        entry = listeners_.erase(entry);
    }
}

Listener TcpTable::row_of(const Tracked& tracked) const {
    Listener row = tracked.row;
    const auto netns = namespaces_.find(row.netns);
    if (netns == namespaces_.end()) return row;
    row.somaxconn = netns->second.row.somaxconn;
    row.binds = binds_of(row, netns->second.row.max_syn_backlog.value_or(0), netns->second.last.syncookies);
    // What asked for less than the somaxconn of its time was raised to that of now by this process, or that was
    // lowered.
    if (row.binds == Binds::somaxconn && row.asked && *row.asked <= row.limit && !tracked.asked_for_all)
        row.binds = Binds::application;
    row.refuses_syns = row.somaxconn && netns->second.last.syncookies == 0;
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
    tracked.shares = false;
    tracked.queue_before = row.queue;
    tracked.overflows_before = row.overflows;
    row.window = {.peak = row.queue, .floor = row.queue};
    if (sees_arrivals_) row.window.arrivals = 0;
}

void TcpTable::watch_syns(MonoTime now) {
    for (auto& [id, netns] : namespaces_) {
        if (!netns.seen) continue;
        SynCounts counts{.cookies_sent = netns.row.cookies_sent,
                         .cookies_returned = netns.row.cookies_returned,
                         .refused = netns.row.syn_dropped,
                         .half_open = netns.half_open};
        if (sees_arrivals_ && !std::exchange(netns.lacks_arrivals, false)) counts.arrivals = netns.arrivals;
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
    snapshot.listeners.reserve(listeners_.size());
    for (auto& [cookie, tracked] : listeners_) {
        // Where arrivals are not seen, or not whose they are, a queue is known as of each census: what is between two
        // of them is one window.
        const MonoTime began = tracked.window_began.value_or(last_tick);
        const bool looked_at = (sees_arrivals_ && !tracked.shares) || tracked.row.read > began;
        if (looked_at) end_window(tracked, began, now);
        snapshot.listeners.push_back(row_of(tracked));
        if (looked_at) begin_window(tracked, now);
        tracked.row.syn_queue.reset();
    }
    snapshot.tcp.reserve(namespaces_.size());
    for (auto& [id, netns] : namespaces_) {
        if (!netns.seen) continue;
        netns.row.overflows_of_closed = netns.of_closed;
        netns.row.time_wait_entries_per_second =
            per_second(netns.row.time_wait_entries - netns.entries_before, interval);
        netns.row.window_time_wait_entries = netns.row.time_wait_entries - netns.entries_before;
        netns.entries_before = netns.row.time_wait_entries;
        netns.row.window_fastopen_requests = netns.row.fastopen_requests - netns.fastopen_before.requests;
        netns.row.window_fastopen_opened = netns.row.fastopen_opened - netns.fastopen_before.opened;
        netns.row.window_fastopen_failed = netns.row.fastopen_failed - netns.fastopen_before.failed;
        netns.fastopen_before = {netns.row.fastopen_requests, netns.row.fastopen_opened, netns.row.fastopen_failed};
        netns.row.window_ports_exhausted = gain(netns.of_range_before, netns.of_range);
        netns.of_range_before = netns.of_range;
        netns.row.window_connects =
            netns.row.segments_sent ? std::optional(netns.segments.connects) : std::nullopt; // read with these
        netns.row.retransmitted_percent = retransmitted_percent(std::exchange(netns.segments, {}));
        snapshot.tcp.push_back(netns.row);
    }
}

// The one whose queue the event says it is, or the only one whose it may be and that let as many wait when it was read.
TcpTable::Tracked* TcpTable::owner_of(const probes::PressureEvent& event) {
    const std::vector<Tracked*> found = owners(event.cookie, event.netns, event.local, event.transparent, event.limit);
    const bool is_it = found.size() == 1 && (event.cookie != 0 || found[0]->row.limit == event.limit);
    return is_it ? found[0] : nullptr;
}

// The only one that was read under pressure since: of those whose queue it may be, else of all, as something may steer
// connections from one port to another.
TcpTable::Tracked* TcpTable::found_pressed(const probes::PressureEvent& event) {
    std::vector<Tracked*> found = owners(event.cookie, event.netns, event.local, event.transparent, event.limit);
    const auto is_none = [&](const Tracked* each) { return each->looked < event.time || !is_pressed(each->row); };
    std::erase_if(found, is_none);
    if (found.empty()) found = listeners_of(event.netns);
    std::erase_if(found, is_none);
    return found.size() == 1 ? found[0] : nullptr;
}

bool TcpTable::knows_whose(const probes::PressureEvent& event) { return owner_of(event) != nullptr; }

std::optional<TcpTable::Pressed> TcpTable::note_pressure(const probes::PressureEvent& event) {
    Tracked* about = owner_of(event);
    const bool is_certain = about != nullptr && !about->shares;
    if (about == nullptr || (about->looked >= event.time && !is_pressed(about->row))) about = found_pressed(event);
    if (about == nullptr) return std::nullopt;
    Listener& row = about->row;
    const bool is_newer = event.time > row.read;
    if (is_newer) {
        row.queue = event.depth;
        row.read = event.time;
        if (event.cookie != 0) note_limit(*about, event.limit); // its own
    }
    QueueWindow window{.peak = is_newer ? event.depth : row.queue, .event = event.time};
    const MonoTime since = is_certain ? event.busy_since : about->empty;
    window.length = std::max(event.time - since, Nanoseconds(1));
    if (is_certain) {
        window.arrivals = event.busy_arrivals;
        window.accepted = accepted(event.busy_arrivals, 0, event.depth);
    }
    row.queue_peak = std::max(row.queue_peak, window.peak);
    row.window.peak = std::max(row.window.peak, window.peak);
    about->fill.peak = std::max(about->fill.peak, window.peak);
    if (!about->burst) {
        about->burst = Burst{.since = since, .arrivals = std::nullopt, .overflows_base = row.overflows};
        if (is_certain) about->burst->arrivals = 0;
    }
    about->burst->peak = std::max(about->burst->peak, window.peak);
    return Pressed{about, window};
}

bool TcpTable::pressure(const probes::PressureEvent& event, Snapshot& snapshot) {
    const auto pressed = note_pressure(event);
    if (!pressed) return false;
    for (const Tracked* tracked : listeners_of(event.netns)) {
        Listener shown = row_of(*tracked);
        shown.window = tracked == pressed->listener ? pressed->window : QueueWindow{};
        snapshot.listeners.push_back(std::move(shown));
    }
    return true;
}

bool TcpTable::follow_bursts(Snapshot& snapshot, MonoTime now, Nanoseconds longest) {
    std::set<NetnsId> about;
    for (const auto& [cookie, tracked] : listeners_)
        if (tracked.burst) about.insert(tracked.row.netns);
    for (const NetnsId& netns : about) {
        for (Tracked* tracked : listeners_of(netns)) {
            Listener row = row_of(*tracked);
            row.window = {};
            if (tracked->burst) {
                const Burst& burst = *tracked->burst;
                row.window = {.length = std::max(now - burst.since, Nanoseconds(1)),
                              .peak = burst.peak,
                              .arrivals = burst.arrivals,
                              .overflows = row.overflows - burst.overflows_base};
                if (burst.arrivals) row.window.accepted = accepted(*burst.arrivals, 0, row.queue);
                const bool over = std::uint64_t{row.queue} * 4 <= row.limit;
                if (over || now - burst.since > longest) tracked->burst.reset();
            }
            snapshot.listeners.push_back(std::move(row));
        }
    }
    return !about.empty();
}

} // namespace bpftune::signals

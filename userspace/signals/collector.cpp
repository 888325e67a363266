// SPDX-License-Identifier: Apache-2.0
#include "signals/collector.hpp"

#include <algorithm>
#include <ranges>
#include <set>
#include <string_view>
#include <tuple>

#include "core/text.hpp"
#include "signals/buffers.hpp"
#include "sys/clock.hpp"
#include "sys/procfs.hpp"
#include "sys/visit.hpp"

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
// Sockets by state are a view: a leak is seen in seconds as well.
constexpr Nanoseconds count_pause = std::chrono::seconds(5);
// The same for one namespace, where an event does not tell which of its listeners it is about.
constexpr int look_pause = 10;
// Namespaces that are asked for all their listeners at a census; more where some are missing.
constexpr std::size_t listings_at_once = 4;
constexpr std::size_t most_listings_at_once = 32;
// A burst that lasts longer is no burst; the tick judges it.
constexpr Nanoseconds longest_burst = std::chrono::seconds(1);
// A value is read at the next tick; one that cannot be read just then, at a later one. The last write of each is
// remembered for as long as its namespace is there: who set what is raised later (a container runtime, an init
// container).
constexpr Nanoseconds writes_remembered = std::chrono::minutes(1);
// Whoever writes without end makes only the older writes of that sysctl forgotten.
constexpr std::ptrdiff_t most_writes_of_one = 8;
constexpr std::size_t most_writes = 1024;
// Enough to know a half from a quarter. Taking them is this part of the time at most, but for one table a tick.
constexpr std::size_t sample_entries = 1000;
constexpr int sample_part = 200;
// Looking for the device that a hot CPU gets its packets from takes this part of the time, and one namespace more.
constexpr int device_part = 50;
constexpr Nanoseconds longest_device_pause = std::chrono::seconds(5);
// All processes are looked through for irqbalance, while a CPU is hot.
constexpr Nanoseconds irqbalance_pause = std::chrono::seconds(10);

// Not where the namespace is gone or closed to us, or the kernel has no sock_diag for TCP: what ended there would stay.
bool may_be_asked_later(const Error& error) {
    return error.code != ESTALE && !sys::is_denied(error) && error.code != ENOENT && error.code != EPROTONOSUPPORT;
}

// Unless most of it was for many more than there are now.
template <class T> void take_room(std::vector<T>& to, std::vector<T>& from) {
    if (from.capacity() > 2 * from.size()) return;
    to = std::move(from);
    to.clear();
}

} // namespace

Collector::Collector(probes::Probes& probes, Node node, Now now, Naming name_owners)
    : probes_(probes), node_(std::move(node)), name_owners_(std::move(name_owners)) {
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
    snapshot.isolated_cpus = node_.isolated_cpus;
    snapshot.lost_events = probes_.lost_events();
    snapshot.withheld_events = probes_.withheld_events() + tcp_.not_taken_in();
    snapshot.sysctl_writes = sysctl_writes_;
    return snapshot;
}

template <class T> std::vector<T> Collector::reading(Result<std::vector<T>>&& result) {
    if (result) return std::move(*result);
    note(result.error());
    return {};
}

void Collector::note(const Error& error) {
    if (!problems_.empty()) problems_ += "; ";
    problems_ += error.message;
}

void Collector::refresh(Now now, MonoTime next_census) {
    auto namespaces = probes_.namespaces();
    const bool read = namespaces.has_value();
    auto now_there = reading(std::move(namespaces));
    if (!read) return; // not the same as "none is there": what is known stays
    namespaces_ = std::move(now_there);
    read_names();
    const bool census = now.mono >= next_census && take_census(now);
    const std::vector<probes::QueueReading> queues = reading(probes_.queues());
    TcpTable::Readings readings{.namespaces = namespaces_, .queues = {}};
    const std::vector<NetnsId> left_out = reading(probes_.queues_left_out());
    if (probes_.sees_arrivals()) readings.queues = queues;
    readings.left_out = left_out;
    if (census) readings.listeners = listeners_;
    readings.lists_whole_namespaces = probes_.lists_whole_namespaces();
    readings.unasked = unasked_;
    readings.unheld = &listings_.unheld();
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
    if (taken) sockets_.held(reading(probes_.close_waits()));
    if (taken && !probes_.lists_whole_namespaces()) add_unheld(now);
    return taken;
}

void Collector::add_unheld(Now now) {
    listings_.begin(namespaces_, now.mono);
    const std::vector<NetnsId> missing = tcp_.missing_in(listeners_, listings_.unheld());
    const auto due = listings_.due(namespaces_, missing, now.mono);
    std::set<std::uint64_t> held;
    for (const probes::ListenerReading& listener : listeners_) held.insert(listener.cookie);
    for (std::size_t i = 0; i < due.size(); ++i) {
        const probes::NetnsReading& netns = *due[i];
        const bool misses = std::ranges::binary_search(missing, netns.netns);
        const bool has_turn = i < (misses ? most_listings_at_once : listings_at_once);
        const auto found = has_turn ? std::optional(probes_.listeners_of(netns)) : std::nullopt;
        std::vector<std::uint64_t> unheld;
        if (found && *found) {
            for (const probes::ListenerReading& listener : **found) {
                if (held.contains(listener.cookie)) continue;
                unheld.push_back(listener.cookie);
                listeners_.push_back(listener);
            }
        } else if (misses && (!found || may_be_asked_later(found->error()))) {
            unasked_.push_back(netns.netns);
        }
        if (found) listings_.listed(netns, std::move(unheld), now.mono);
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

// Of one namespace at a tick whose connects found no port: a raise waits for it.
void Collector::look_at_udp_ports(Snapshot& snapshot, Now now) {
    std::vector<NetnsTcp*> wanting;
    for (NetnsTcp& row : snapshot.tcp)
        if (row.window_ports_exhausted > 0 && row.local_ports) wanting.push_back(&row);
    if (wanting.empty() || now.mono < next_port_look_) return;
    NetnsTcp& row = *wanting[next_ports_++ % wanting.size()];
    const auto about = std::ranges::find(namespaces_, row.netns, &probes::NetnsReading::netns);
    if (about == namespaces_.end()) return;
    const MonoTime begin = sys::now().mono;
    const auto port = probes_.udp_port_below(*about);
    const MonoTime end = sys::now().mono;
    next_port_look_ = end + look_pause * (end - begin);
    if (port)
        row.udp_port_below = *port;
    else
        note(port.error());
}

Snapshot Collector::tick(Now now, Snapshot&& spent) {
    problems_.clear();
    node_reader_.tick(now.mono);
    forget_writes(now.mono);
    Snapshot snapshot = blank(Snapshot::Cause::tick, now);
    take_room(snapshot.listeners, spent.listeners);
    take_room(snapshot.tcp, spent.tcp);
    take_room(snapshot.buffers, spent.buffers);
    take_room(snapshot.conntrack, spent.conntrack);
    probes_.ask_for_memory(socket_memory_.is_worth_a_look(node_reader_.pools()));
    refresh(now, next_census_);
    tcp_.tick(snapshot, now.mono);
    look_at_udp_ports(snapshot, now);
    if (now.mono >= next_count_) count_sockets(now.mono);
    sockets_.fill(snapshot);
    snapshot.socket_sizes = probes_.socket_sizes();
    read_buffers(snapshot);
    look_at_udp();
    snapshot.udp = udp_.update(namespaces_, udp_sockets_, now.mono);
    snapshot.fragments = fragments_.update(namespaces_, now.mono);
    read_socket_memory(snapshot);
    read_softirq(snapshot);
    read_steering(snapshot);
    read_interrupts(snapshot);
    snapshot.allowed_congestion_control = probes_.allowed_congestion_control();
    read_conntrack(snapshot);
    read_neighbours(snapshot);
    snapshot.netns_names = names_;
    name_owners(snapshot);
    return snapshot;
}

void Collector::read_names() {
    names_.clear();
    const auto bound = probes_.bound();
    if (!bound) note(bound.error());
    for (const probes::NetnsReading& reading : namespaces_) {
        NetnsNames names{.netns = reading.netns, .bound = {}, .is_name_unknown = !bound};
        names.user_ns_owner = reading.user_ns_owner;
        const auto all = bound ? *bound : std::span<const sys::BoundNetns>();
        for (const auto& each : std::ranges::equal_range(all, reading.netns.inode, {}, &sys::BoundNetns::inode))
            if (auto name = printable(each.name()); std::ranges::find(names.bound, name) == names.bound.end())
                names.bound.push_back(std::move(name));
        names_.push_back(std::move(names));
    }
    std::ranges::sort(names_, {}, &NetnsNames::netns);
}

// Those of a namespace that a snapshot is about. One that is too new is known at the next look.
void Collector::name(Snapshot& snapshot, const NetnsId& netns) const {
    const auto at = std::ranges::lower_bound(snapshot.netns_names, netns, {}, &NetnsNames::netns);
    if (at != snapshot.netns_names.end() && at->netns == netns) return;
    const auto names = std::ranges::lower_bound(names_, netns, {}, &NetnsNames::netns);
    if (names != names_.end() && names->netns == netns)
        snapshot.netns_names.insert(at, *names);
    else
        snapshot.netns_names.insert(at, {.netns = netns, .is_name_unknown = true, .is_user_ns_unknown = true});
}

void Collector::name_listeners(Snapshot& snapshot) const {
    for (const Listener& listener : snapshot.listeners) name(snapshot, listener.netns);
    name_owners(snapshot);
}

void Collector::read_buffers(Snapshot& snapshot) {
    flows_.reset();
    if (snapshot.source(Probe::buffers) != Rung::none) {
        auto flows = probes_.flows();
        if (!flows) note(flows.error());
        if (flows) flows_ = std::move(*flows);
    }
    snapshot.buffers = buffers(namespaces_, flows_, snapshot.socket_sizes, std::move(snapshot.buffers));
}

void Collector::look_at_udp() {
    if (!probes_.looks_at_udp()) return;
    auto sockets = probes_.udp(); // not read is not the same as none: what is held stays so
    if (!sockets) return note(sockets.error());
    udp_sockets_ = std::move(*sockets);
}

bool Collector::follows_flows() const {
    return (flows_ && is_worth_a_look(*flows_)) || is_worth_a_look(udp_sockets_, sys::now().mono);
}

std::optional<Snapshot> Collector::follow_flows(Now now) {
    look_at_udp();                                             // BPF remembers what it was like: the next tick judges
    Snapshot snapshot = blank(Snapshot::Cause::pressure, now); // of the namespaces that the last tick found
    read_buffers(snapshot);
    const auto says_nothing = [](const std::optional<HeldBack>& way) {
        return !way || (way->flows == 0 && !way->raised);
    };
    std::erase_if(snapshot.buffers,
                  [&](const TcpBuffers& row) { return says_nothing(row.receiving) && says_nothing(row.sending); });
    if (snapshot.buffers.empty()) return std::nullopt;
    for (const TcpBuffers& row : snapshot.buffers) name(snapshot, row.netns);
    name_owners(snapshot);
    return snapshot;
}

void Collector::read_softirq(Snapshot& snapshot) {
    if (snapshot.source(Probe::softirq) == Rung::none) return;
    const std::uint64_t limit = probes_.netdev_max_backlog().value_or(0);
    const auto budget = probes_.netdev_budget();
    const auto budget_usecs = probes_.netdev_budget_usecs();
    for (const probes::SoftirqReading& now : reading(probes_.softirq())) {
        const probes::SoftirqReading& base = softirq_base_.try_emplace(now.cpu, now).first->second;
        snapshot.softirq.push_back({.cpu = now.cpu,
                                    .processed = now.processed - base.processed,
                                    .dropped = now.dropped - base.dropped,
                                    .flow_limited = now.flow_limited - base.flow_limited,
                                    .time_squeeze = now.time_squeeze - base.time_squeeze,
                                    .backlog = now.backlog,
                                    .backlog_limit = limit,
                                    .budget = budget,
                                    .budget_usecs = budget_usecs});
    }
    backlogs_.tick(snapshot.softirq, node_reader_.cpus(), node_reader_.cpus_read(), snapshot.time.mono);
}

void Collector::look_at_devices(const probes::NetnsReading& netns) {
    const auto devices = probes_.devices(netns, [&](std::string_view name, const sys::Received& received) {
        return steered_.wants(netns.netns, name, received);
    });
    if (devices) return steered_.update(netns, *devices);
    if (devices.error().code == ESTALE) steered_.gone(netns.netns);
}

// The init namespace, by which packets enter the node, and those in which something is ours, at each tick where that
// does not take long; of the others, in turn, as many as there is time for.
void Collector::read_steering(Snapshot& snapshot) {
    snapshot.hot_cpu = hot_cpus_.tick(snapshot.softirq, snapshot.interval);
    std::optional<double> packets_per_second;
    if (snapshot.hot_cpu)
        packets_per_second =
            std::ranges::find(snapshot.softirq, snapshot.hot_cpu->cpu, &SoftirqCpu::cpu)->packets_per_second;
    steered_.begin(packets_per_second, snapshot.time.mono);
    const MonoTime began = sys::now().mono; // most of the work is the writer's
    const bool is_due = snapshot.time.mono >= next_own_devices_;
    std::vector<const probes::NetnsReading*> others;
    for (const probes::NetnsReading& netns : namespaces_) {
        const bool is_asked = netns.netns == node_.host && snapshot.hot_cpu;
        if (is_asked || steered_.holds_any_in(netns.netns)) {
            if (is_due) look_at_devices(netns);
        } else if (netns.netns != node_.host) {
            others.push_back(&netns);
        }
    }
    const MonoTime begin = sys::now().mono;
    if (is_due) next_own_devices_ = snapshot.time.mono + std::min(device_part * (begin - began), longest_device_pause);
    for (std::size_t i = 0; snapshot.hot_cpu && i < others.size(); ++i) {
        look_at_devices(*others[next_devices_++ % others.size()]);
        if (sys::now().mono - begin > snapshot.interval / device_part) break;
    }
    steered_.forget_all_but(namespaces_);
    snapshot.steered = steered_.rows();
}

void Collector::read_interrupts(Snapshot& snapshot) {
    interrupts_.begin(snapshot.hot_cpu ? std::optional(snapshot.hot_cpu->cpu) : std::nullopt, snapshot.time.mono);
    const auto host = std::ranges::find(namespaces_, node_.host, &probes::NetnsReading::netns);
    if (host != namespaces_.end() && (snapshot.hot_cpu || interrupts_.holds_any()))
        if (const auto readings = probes_.interrupts(*host)) interrupts_.update(*host, *readings);
    snapshot.interrupts = interrupts_.rows();
    if (!snapshot.hot_cpu || snapshot.interrupts.empty()) return;
    if (snapshot.time.mono >= next_irqbalance_) {
        irqbalance_ = probes_.runs_irqbalance();
        next_irqbalance_ = snapshot.time.mono + irqbalance_pause;
    }
    snapshot.irqbalance = irqbalance_;
}

void Collector::read_conntrack(Snapshot& snapshot) {
    // Read in any case: a module that was loaded meanwhile is found by that, and its rung is another one then.
    auto result = probes_.conntrack(namespaces_);
    const bool read = result.has_value();
    const auto readings = reading(std::move(result));
    snapshot.sources[static_cast<std::size_t>(Probe::conntrack)] = probes_.rung(Probe::conntrack);
    const auto limit = probes_.conntrack_max();
    if (!limit) conntrack_.unloaded();
    if (!limit || !read) return;
    const MonoTime now = snapshot.time.mono;
    conntrack_.update(readings, {.entries = *limit, .buckets = probes_.conntrack_buckets().value_or(0)}, now,
                      snapshot.interval);
    sample_conntrack(now, snapshot.interval);
    snapshot.conntrack.reserve(readings.size());
    for (const probes::ConntrackReading& each : readings)
        if (auto row = conntrack_.row(each.netns, now)) snapshot.conntrack.push_back(std::move(*row));
}

void Collector::read_socket_memory(Snapshot& snapshot) {
    auto holders = probes_.memory();
    if (!holders) note(holders.error());
    snapshot.socket_memory = socket_memory_.update(node_reader_.pools(), namespaces_,
                                                   holders ? std::move(*holders) : std::nullopt, snapshot.time.mono);
}

void Collector::count_sockets(MonoTime now) {
    const Nanoseconds begin = sys::thread_cpu_time();
    auto found = probes_.tcp_sockets();
    if (!found) note(found.error());
    sockets_.counted(namespaces_, found ? std::move(*found) : std::nullopt);
    const Nanoseconds cost = sys::thread_cpu_time() - begin;
    next_count_ = now + std::clamp(cost * census_pause, count_pause, longest_census_pause);
}

void Collector::read_neighbours(Snapshot& snapshot) {
    if (snapshot.source(Probe::neighbours) == Rung::none) return;
    snapshot.neighbours = neighbours_.tick(reading(probes_.neighbours()), snapshot.time.mono);
}

// A raise is for connections, so before one is considered it is looked what the entries are. What cannot be looked at
// stays unknown.
void Collector::sample_conntrack(MonoTime now, Nanoseconds interval) {
    const std::vector<NetnsId> waiting = conntrack_.waiting(now);
    const Nanoseconds begin = sys::thread_cpu_time();
    for (const NetnsId& each : waiting) {
        if (each != waiting.front() && sys::thread_cpu_time() - begin > interval / sample_part) break;
        const auto netns = std::ranges::find(namespaces_, each, &probes::NetnsReading::netns);
        if (netns == namespaces_.end()) continue;
        auto sample = probes_.sample_conntrack(*netns, sample_entries);
        conntrack_.sampled(each, sample ? std::optional(std::move(*sample)) : std::nullopt, now);
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
    auto numbers = sys::written_numbers(write.value);
    SysctlWrite& kept = sysctl_writes_.emplace_back();
    kept = {.time = write.time,
            .netns = write.netns,
            .sysctl = write.sysctl,
            .value = std::nullopt,
            .more = {},
            .pid = write.pid,
            .command = printable(write.command),
            .text = printable(single_spaced(write.value))};
    if (numbers.empty()) return;
    kept.value = numbers.front();
    kept.more.assign(numbers.begin() + 1, numbers.end());
}

void Collector::forget_writes(MonoTime now) {
    if (sysctl_writes_.empty()) return;
    std::set<NetnsId> there; // each also without its cookie, as the write may be
    for (const probes::NetnsReading& known : namespaces_)
        there.insert({known.netns, NetnsId{.cookie = 0, .inode = known.netns.inode}});
    std::vector<SysctlWrite> kept;
    std::set<std::pair<NetnsId, std::string_view>> seen;
    for (const SysctlWrite& write : std::views::reverse(sysctl_writes_)) { // the newest of each first
        const bool is_last = seen.emplace(write.netns, write.sysctl).second;
        if (write.time >= now - writes_remembered || (is_last && there.contains(write.netns))) kept.push_back(write);
    }
    std::ranges::reverse(kept);
    sysctl_writes_ = std::move(kept);
}

std::optional<Snapshot> Collector::on_event(const probes::Event& event, Now now) {
    if (const auto* began = std::get_if<probes::ListenEvent>(&event)) {
        tcp_.began(*began);
    } else if (const auto* exhausted = std::get_if<probes::PortsExhaustedEvent>(&event)) {
        tcp_.ports_exhausted(*exhausted);
    } else if (const auto* pressure = std::get_if<probes::PressureEvent>(&event)) {
        if (!tcp_.knows_whose(*pressure) && !look_at(pressure->netns, now)) return std::nullopt;
        Snapshot snapshot = blank(Snapshot::Cause::pressure, now);
        if (!tcp_.pressure(*pressure, snapshot)) return std::nullopt;
        name_listeners(snapshot);
        return snapshot;
    } else if (const auto* full = std::get_if<probes::ConntrackFullEvent>(&event)) {
        conntrack_.was_full(full->netns);
    } else if (const auto* write = std::get_if<probes::SysctlWriteEvent>(&event)) {
        remember(*write);
    }
    return std::nullopt;
}

std::optional<Snapshot> Collector::follow_bursts(Now now) {
    Snapshot snapshot = blank(Snapshot::Cause::pressure, now);
    refresh(now, next_burst_census_);
    if (!tcp_.follow_bursts(snapshot, now.mono, longest_burst)) return std::nullopt;
    name_listeners(snapshot);
    return snapshot;
}

} // namespace bpftune::signals

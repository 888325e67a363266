// SPDX-License-Identifier: Apache-2.0
// A kernel to decide about: it has the values, takes writes as the writer makes them, and tells what a node would.
#pragma once

#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <ranges>
#include <set>
#include <string>
#include <vector>

#include "controller/step.hpp"
#include "signals/tcp_table.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::testing {

class World {
public:
    static constexpr NetnsId host{.cookie = 1, .inode = 4026531833};

    std::uint64_t memory_bytes = std::uint64_t{16} << 30;
    Guards guards;
    UnitBytes unit_bytes;
    std::uint32_t syncookies = 1;
    std::uint32_t max_syn_backlog = 128; // where it is not in:
    std::map<NetnsId, std::uint32_t> max_syn_backlogs;
    std::map<NetnsId, std::uint32_t> somaxconn;
    std::map<NetnsId, std::vector<std::string>> names; // that namespaces are bound under
    std::map<NetnsId, Pod> pods_in;                    // of these: whose they are, without a container
    std::map<NetnsId, std::string> units_in;
    std::map<NetnsId, std::uint32_t> users_in; // that made the user namespaces that they are in
    std::set<NetnsId> unread;                  // too new: nothing is known of these yet
    std::set<NetnsId> unknown_owners;
    bool may_have_pods = false;
    std::vector<PodFacts> pods;                  // in the order of their UIDs
    std::map<std::uint64_t, Listener> listeners; // by cookie; the window is what the next snapshot says
    std::map<NetnsId, Conntrack> tables;         // of which the limit and buckets are the world's
    std::uint64_t conntrack_max = 20000;
    std::uint64_t conntrack_buckets = 8192;
    std::map<ObjectKey, std::uint64_t> timeouts; // of these tables: the tunables' values, where they are not 0
    std::map<NetnsId, NetnsTcp> ports;           // with their range, and what the next snapshot says
    std::map<NetnsId, TcpBuffers> buffers;       // with their values, and what the next snapshot says
    std::map<ObjectKey, Fragments> fragments;    // with their limit, and what the next snapshot says
    std::map<std::uint64_t, UdpSocket> udp;      // by cookie; with what the next snapshot says
    std::vector<SoftirqCpu> cpus;                // of which the limit is the world's
    std::uint64_t netdev_max_backlog = 1000;
    std::uint64_t netdev_budget = 300;
    std::uint64_t netdev_budget_usecs = 8000;
    std::optional<HotCpu> hot_cpu; // as the next snapshot has it
    std::uint64_t isolated_cpus = 0;
    std::map<ObjectKey, SteeredDevice> queues;       // with their CPUs, and what the next snapshot says
    std::map<ObjectKey, DeviceInterrupt> interrupts; // the same; `cpu` is where one goes that may go to several
    std::optional<bool> irqbalance = false;
    std::vector<NeighbourTable> neighbours;  // with their limits, and what the next snapshot says
    std::vector<SocketMemory> socket_memory; // the same
    SocketSizes socket_sizes;                // at ticks, as the next
    std::optional<std::string> allowed_congestion_control;
    std::vector<SysctlWrite> writes; // that BPF has seen

    // What is there now. A pressure snapshot has the namespace of `cause` alone, and a window for that listener only.
    [[nodiscard]] Snapshot tick(MonoTime now, Nanoseconds interval) const {
        Snapshot snapshot = blank(now);
        snapshot.interval = interval;
        snapshot.socket_sizes = socket_sizes;
        snapshot.allowed_congestion_control = allowed_congestion_control;
        add_tcp(snapshot);
        for (const auto& [cookie, listener] : listeners) snapshot.listeners.push_back(row(listener, now));
        for (auto [netns, table] : tables) {
            table.limit = conntrack_max;
            table.buckets = conntrack_buckets;
            add_timeouts(table, now);
            snapshot.conntrack.push_back(table);
        }
        for (const auto& [netns, row] : buffers) snapshot.buffers.push_back(row);
        for (const auto& [cookie, socket] : udp) {
            snapshot.udp.push_back(socket);
            snapshot.udp.back().read = now;
        }
        for (const auto& [object, row] : fragments) snapshot.fragments.push_back(row);
        for (SoftirqCpu cpu : cpus) {
            cpu.backlog_limit = netdev_max_backlog;
            cpu.budget = netdev_budget;
            cpu.budget_usecs = netdev_budget_usecs;
            snapshot.softirq.push_back(cpu);
        }
        snapshot.hot_cpu = hot_cpu;
        snapshot.isolated_cpus = isolated_cpus;
        for (const auto& [object, device] : queues) {
            snapshot.steered.push_back(device);
            snapshot.steered.back().read = now;
        }
        for (DeviceInterrupt interrupt : interrupts | std::views::values) {
            const std::uint64_t allowed = interrupt.cpus.value_or(0);
            if (std::has_single_bit(allowed)) interrupt.cpu = static_cast<unsigned>(std::countr_zero(allowed));
            if (!hot_cpu || interrupt.cpu != hot_cpu->cpu) interrupt.per_second = 0;
            interrupt.read = now;
            snapshot.interrupts.push_back(interrupt);
        }
        snapshot.irqbalance = irqbalance;
        snapshot.neighbours = neighbours;
        snapshot.socket_memory = socket_memory;
        return snapshot;
    }

    // A look at flows between two ticks.
    [[nodiscard]] Snapshot look(MonoTime now) const {
        Snapshot snapshot = blank(now);
        snapshot.cause = Snapshot::Cause::pressure;
        for (const auto& [netns, row] : buffers) snapshot.buffers.push_back(row);
        return snapshot;
    }

    [[nodiscard]] Snapshot pressure(const Listener& cause, MonoTime now) const {
        Snapshot snapshot = blank(now);
        snapshot.cause = Snapshot::Cause::pressure;
        for (const auto& [cookie, listener] : listeners) {
            if (listener.netns != cause.netns) continue;
            snapshot.listeners.push_back(row(listener, now));
            if (cookie != cause.cookie) snapshot.listeners.back().window = {};
        }
        return snapshot;
    }

    [[nodiscard]] std::optional<std::uint64_t> value(const ObjectKey& object) const {
        switch (object.tunable) {
        case TunableId::somaxconn: return found(somaxconn, object.netns);
        case TunableId::listener_backlog: {
            const auto listener = listeners.find(object.listener_cookie);
            if (listener == listeners.end()) return std::nullopt;
            return listener->second.limit;
        }
        case TunableId::tcp_max_syn_backlog:
            return somaxconn.contains(object.netns) ? std::optional(syn_backlog_of(object.netns)) : std::nullopt;
        case TunableId::conntrack_max: return conntrack_max;
        case TunableId::conntrack_buckets: return conntrack_buckets;
        case TunableId::tcp_rmem:
            return buffers.contains(object.netns) ? buffers.at(object.netns).rmem_max : std::nullopt;
        case TunableId::tcp_wmem:
            return buffers.contains(object.netns) ? buffers.at(object.netns).wmem_max : std::nullopt;
        case TunableId::udp_rcvbuf: {
            const auto socket = udp.find(object.listener_cookie);
            return socket == udp.end() ? std::nullopt : std::optional(socket->second.buffer_bytes);
        }
        case TunableId::netdev_max_backlog: return netdev_max_backlog;
        case TunableId::netdev_budget: return netdev_budget;
        case TunableId::netdev_budget_usecs: return netdev_budget_usecs;
        case TunableId::neigh_gc_thresh3: return threshold(Family::ipv4, &NeighbourTable::gc_thresh3);
        case TunableId::neigh_gc_thresh2: return threshold(Family::ipv4, &NeighbourTable::gc_thresh2);
        case TunableId::neigh_gc_thresh1: return threshold(Family::ipv4, &NeighbourTable::gc_thresh1);
        case TunableId::neigh6_gc_thresh3: return threshold(Family::ipv6, &NeighbourTable::gc_thresh3);
        case TunableId::neigh6_gc_thresh2: return threshold(Family::ipv6, &NeighbourTable::gc_thresh2);
        case TunableId::neigh6_gc_thresh1: return threshold(Family::ipv6, &NeighbourTable::gc_thresh1);
        case TunableId::ipfrag_high_thresh:
        case TunableId::ip6frag_high_thresh: {
            const auto row = fragments.find(object);
            return row == fragments.end() ? std::nullopt : std::optional(row->second.limit_bytes);
        }
        case TunableId::ip_local_port_range:
            return ports.contains(object.netns) ? std::optional(65536ULL - ports.at(object.netns).local_ports->first)
                                                : std::nullopt;
        case TunableId::tcp_fastopen:
            return ports.contains(object.netns) ? ports.at(object.netns).fastopen : std::nullopt;
        case TunableId::rmem_max: return socket_sizes.rmem_max;
        case TunableId::wmem_max: return socket_sizes.wmem_max;
        case TunableId::rmem_default: return socket_sizes.rmem_default;
        case TunableId::wmem_default: return socket_sizes.wmem_default;
        case TunableId::tcp_tw_reuse:
            return ports.contains(object.netns) ? reuse_of(ports.at(object.netns)) : std::nullopt;
        case TunableId::tcp_tw_reuse_delay:
            if (!ports.contains(object.netns) || !ports.at(object.netns).tw_reuse_delay_ms) return std::nullopt;
            return 60000 - *ports.at(object.netns).tw_reuse_delay_ms;
        case TunableId::tcp_congestion_control:
            return buffers.contains(object.netns) ? control_of(buffers.at(object.netns)) : std::nullopt;
        case TunableId::tcp_mem: return pages(MemoryPool::tcp, &SocketMemory::high_bytes);
        case TunableId::tcp_mem_pressure: return pages(MemoryPool::tcp, &SocketMemory::pressure_bytes);
        case TunableId::tcp_mem_low: return pages(MemoryPool::tcp, &SocketMemory::low_bytes);
        case TunableId::udp_mem: return pages(MemoryPool::udp, &SocketMemory::high_bytes);
        case TunableId::udp_mem_pressure: return pages(MemoryPool::udp, &SocketMemory::pressure_bytes);
        case TunableId::udp_mem_low: return pages(MemoryPool::udp, &SocketMemory::low_bytes);
        case TunableId::nf_conntrack_tcp_timeout_established:
        case TunableId::nf_conntrack_tcp_timeout_time_wait:
        case TunableId::nf_conntrack_tcp_timeout_close_wait:
            return tables.contains(object.netns) ? std::optional(found(timeouts, object).value_or(0)) : std::nullopt;
        case TunableId::rps_cpus: return queues.contains(object) ? queues.at(object).rps_cpus : std::nullopt;
        case TunableId::smp_affinity: return interrupts.contains(object) ? interrupts.at(object).cpus : std::nullopt;
        }
        return std::nullopt;
    }

    // As anybody's hand, without a look at what was there.
    void set(const ObjectKey& object, std::uint64_t value) {
        switch (object.tunable) {
        case TunableId::somaxconn: somaxconn[object.netns] = static_cast<std::uint32_t>(value); break;
        case TunableId::listener_backlog:
            listeners.at(object.listener_cookie).limit = static_cast<std::uint32_t>(value);
            break;
        case TunableId::tcp_max_syn_backlog: max_syn_backlogs[object.netns] = static_cast<std::uint32_t>(value); break;
        case TunableId::conntrack_max: conntrack_max = value; break;
        case TunableId::conntrack_buckets: conntrack_buckets = value; break;
        case TunableId::tcp_rmem: buffers.at(object.netns).rmem_max = value; break;
        case TunableId::tcp_wmem: buffers.at(object.netns).wmem_max = value; break;
        case TunableId::udp_rcvbuf: udp.at(object.listener_cookie).buffer_bytes = value; break;
        case TunableId::netdev_max_backlog: netdev_max_backlog = value; break;
        case TunableId::netdev_budget: netdev_budget = value; break;
        case TunableId::netdev_budget_usecs: netdev_budget_usecs = value; break;
        case TunableId::neigh_gc_thresh3: table(Family::ipv4).gc_thresh3 = value; break;
        case TunableId::neigh_gc_thresh2: table(Family::ipv4).gc_thresh2 = value; break;
        case TunableId::neigh_gc_thresh1: table(Family::ipv4).gc_thresh1 = value; break;
        case TunableId::neigh6_gc_thresh3: table(Family::ipv6).gc_thresh3 = value; break;
        case TunableId::neigh6_gc_thresh2: table(Family::ipv6).gc_thresh2 = value; break;
        case TunableId::neigh6_gc_thresh1: table(Family::ipv6).gc_thresh1 = value; break;
        case TunableId::ipfrag_high_thresh:
        case TunableId::ip6frag_high_thresh: fragments.at(object).limit_bytes = value; break;
        case TunableId::ip_local_port_range:
            ports.at(object.netns).local_ports->first = static_cast<std::uint16_t>(65536 - value);
            break;
        case TunableId::tcp_fastopen: ports.at(object.netns).fastopen = value; break;
        case TunableId::rmem_max: socket_sizes.rmem_max = value; break;
        case TunableId::wmem_max: socket_sizes.wmem_max = value; break;
        case TunableId::rmem_default: socket_sizes.rmem_default = value; break;
        case TunableId::wmem_default: socket_sizes.wmem_default = value; break;
        case TunableId::tcp_tw_reuse: ports.at(object.netns).tw_reuse = value == 0 ? 0 : 3 - value; break;
        case TunableId::tcp_tw_reuse_delay: ports.at(object.netns).tw_reuse_delay_ms = 60000 - value; break;
        case TunableId::tcp_congestion_control:
            buffers.at(object.netns).congestion_control = tunables::text_of(object.tunable, value);
            break;
        case TunableId::tcp_mem: pool(MemoryPool::tcp).high_bytes = value * page; break;
        case TunableId::tcp_mem_pressure: pool(MemoryPool::tcp).pressure_bytes = value * page; break;
        case TunableId::tcp_mem_low: pool(MemoryPool::tcp).low_bytes = value * page; break;
        case TunableId::udp_mem: pool(MemoryPool::udp).high_bytes = value * page; break;
        case TunableId::udp_mem_pressure: pool(MemoryPool::udp).pressure_bytes = value * page; break;
        case TunableId::udp_mem_low: pool(MemoryPool::udp).low_bytes = value * page; break;
        case TunableId::nf_conntrack_tcp_timeout_established:
        case TunableId::nf_conntrack_tcp_timeout_time_wait:
        case TunableId::nf_conntrack_tcp_timeout_close_wait: timeouts[object] = value; break;
        case TunableId::rps_cpus: queues.at(object).rps_cpus = value; break;
        case TunableId::smp_affinity: interrupts.at(object).cpus = value; break;
        }
    }

    static constexpr std::uint64_t page = 4096;
    SocketMemory& pool(MemoryPool pool) { return *std::ranges::find(socket_memory, pool, &SocketMemory::pool); }
    [[nodiscard]] std::optional<std::uint64_t> pages(MemoryPool pool, std::uint64_t SocketMemory::* bytes) const {
        const auto found = std::ranges::find(socket_memory, pool, &SocketMemory::pool);
        return found == socket_memory.end() ? std::nullopt : std::optional((*found).*bytes / page);
    }

    static std::optional<std::uint64_t> reuse_of(const NetnsTcp& row) {
        return row.tw_reuse ? std::optional<std::uint64_t>(*row.tw_reuse == 0 ? 0 : 3 - *row.tw_reuse) : std::nullopt;
    }
    static std::optional<std::uint64_t> control_of(const TcpBuffers& row) {
        return row.congestion_control
                   ? tunables::known_value(TunableId::tcp_congestion_control, *row.congestion_control)
                   : std::nullopt;
    }
    NeighbourTable& table(Family family) { return *std::ranges::find(neighbours, family, &NeighbourTable::family); }
    [[nodiscard]] std::optional<std::uint64_t> threshold(Family family,
                                                         std::optional<std::uint64_t> NeighbourTable::* value) const {
        const auto found = std::ranges::find(neighbours, family, &NeighbourTable::family);
        return found == neighbours.end() ? std::nullopt : (*found).*value;
    }

    // Its application calls listen() again: as signals::TcpTable tells it.
    void listen(const ObjectKey& object, std::uint64_t value) {
        Listener& listener = listeners.at(object.listener_cookie);
        listener.limit = static_cast<std::uint32_t>(value);
        const bool is_below = listener.limit < somaxconn.at(listener.netns);
        listener.asked = is_below ? std::optional(listener.limit) : std::nullopt;
    }

    // What BPF sees of it: before the kernel takes it, or not.
    void note(const ObjectKey& object, std::uint64_t value, const std::string& command, MonoTime now) {
        writes.push_back({.time = now,
                          .netns = object.netns,
                          .sysctl = std::string(tunables::row(object.tunable).path),
                          .value = value,
                          .pid = 812,
                          .command = command});
    }

    // As the writer does it.
    Outcome write(const Decision& decision) {
        const ObjectKey object = key_of(decision.tunable, decision.scope);
        const auto now = value(object);
        if (!now) return {.kind = Outcome::Kind::gone};
        if (*now != decision.from) return {.kind = Outcome::Kind::conflict, .value = *now};
        if (object.tunable == TunableId::listener_backlog && decision.to > somaxconn.at(object.netns))
            return {.kind = Outcome::Kind::conflict, .value = *now, .error = "would be cut to somaxconn"};
        set(object, decision.to);
        return {.kind = Outcome::Kind::written, .value = decision.to};
    }

private:
    template <class Map, class Key> static std::optional<std::uint64_t> found(const Map& map, const Key& key) {
        const auto entry = map.find(key);
        return entry == map.end() ? std::nullopt : std::optional<std::uint64_t>(entry->second);
    }

    // As signals::states_of() reads them.
    void add_timeouts(Conntrack& table, MonoTime now) const {
        if (!table.states) return;
        const auto seconds = [&](TunableId tunable) {
            return tunables::row(tunable).counts_down_from - *value({tunable, table.netns});
        };
        table.states->read = now;
        table.states->established.timeout_seconds = seconds(TunableId::nf_conntrack_tcp_timeout_established);
        table.states->time_wait.timeout_seconds = seconds(TunableId::nf_conntrack_tcp_timeout_time_wait);
        table.states->close_wait.timeout_seconds = seconds(TunableId::nf_conntrack_tcp_timeout_close_wait);
    }

    // One row of each namespace.
    void add_tcp(Snapshot& snapshot) const {
        std::map<NetnsId, NetnsTcp> rows = ports;
        for (const auto& [netns, value] : somaxconn) {
            NetnsTcp& row = rows[netns];
            row.netns = netns;
            row.somaxconn = value;
            row.max_syn_backlog = syn_backlog_of(netns);
        }
        for (const auto& [netns, row] : rows) snapshot.tcp.push_back(row);
    }

    [[nodiscard]] Listener row(Listener listener, MonoTime now) const {
        listener.somaxconn = somaxconn.at(listener.netns);
        listener.binds = signals::binds_of(listener, syn_backlog_of(listener.netns), syncookies);
        listener.refuses_syns = syncookies == 0;
        listener.read = now;
        return listener;
    }

    [[nodiscard]] std::uint32_t syn_backlog_of(const NetnsId& netns) const {
        const auto own = max_syn_backlogs.find(netns);
        return own == max_syn_backlogs.end() ? max_syn_backlog : own->second;
    }

    [[nodiscard]] Snapshot blank(MonoTime now) const {
        Snapshot snapshot;
        snapshot.time.mono = now;
        snapshot.host = host;
        snapshot.memory_bytes = memory_bytes;
        snapshot.guards = guards;
        snapshot.unit_bytes = unit_bytes;
        snapshot.sysctl_writes = writes;
        for (const auto& [netns, bound] : names) snapshot.netns_names.push_back(names_of(netns, bound));
        snapshot.may_have_pods = may_have_pods;
        snapshot.pods = pods;
        return snapshot;
    }

    [[nodiscard]] NetnsNames names_of(const NetnsId& netns, const std::vector<std::string>& bound) const {
        if (unread.contains(netns)) return {.netns = netns, .is_name_unknown = true, .is_user_ns_unknown = true};
        NetnsNames row{.netns = netns, .bound = bound, .is_owner_unknown = unknown_owners.contains(netns)};
        if (const auto pod = pods_in.find(netns); pod != pods_in.end()) row.pod = pod->second;
        if (const auto unit = units_in.find(netns); unit != units_in.end()) row.unit = unit->second;
        if (const auto user = users_in.find(netns); user != users_in.end()) row.user_ns_owner = user->second;
        return row;
    }
};

} // namespace bpftune::testing

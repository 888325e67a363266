// SPDX-License-Identifier: Apache-2.0
// Reads the probes and makes Snapshots: on every tick, at once when a queue comes under pressure, and while it is.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>

#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "probes/probes.hpp"
#include "signals/backlogs.hpp"
#include "signals/conntrack_tables.hpp"
#include "signals/fragments.hpp"
#include "signals/interrupts.hpp"
#include "signals/listings.hpp"
#include "signals/neighbours.hpp"
#include "signals/node.hpp"
#include "signals/socket_memory.hpp"
#include "signals/sockets.hpp"
#include "signals/steering.hpp"
#include "signals/tcp_table.hpp"
#include "signals/udp.hpp"

namespace bpftune::signals {

class Collector {
public:
    // Fills in whose all in a snapshot is.
    using Naming = std::function<void(Snapshot&)>;

    // Reads everything once: the zero of all counters. `probes` outlives it. Every snapshot is passed to `name_owners`
    // last.
    Collector(probes::Probes& probes, Node node, Now now, Naming name_owners = {});

    // Everything, with rates since the last tick. What could not be read is missing, and `problems` says so. `spent`:
    // one that nobody needs any more, whose memory is taken: to map and clear megabytes each second costs more than to
    // fill them.
    Snapshot tick(Now now, Snapshot&& spent = {});

    // A snapshot to act on, for an event that asks for it.
    std::optional<Snapshot> on_event(const probes::Event& event, Now now);

    // Only has that burst followed: follow_bursts() has it.
    void follow(const probes::PressureEvent& event) { tcp_.follow(event); }

    // While a burst lasts, and once more after it: what has become of it. nullopt: no burst is being followed.
    std::optional<Snapshot> follow_bursts(Now now);

    // Between ticks, while a buffer holds back a flow or one was looked at only once: what has become of them. nullopt:
    // none is held back now.
    std::optional<Snapshot> follow_flows(Now now);
    [[nodiscard]] bool follows_flows() const; // or a UDP socket that dropped something a moment ago

    // This process has set the limit of a listener, or a sysctl of a namespace: another one that is read from now on is
    // someone else's.
    void wrote(const ObjectKey& object, std::uint64_t value, MonoTime now) {
        const auto limit = static_cast<std::uint32_t>(value);
        if (object.tunable == TunableId::listener_backlog) tcp_.wrote(object.listener_cookie, limit, now);
        if (object.tunable == TunableId::somaxconn) tcp_.wrote(object.netns, &NetnsTcp::somaxconn, limit, now);
        if (object.tunable == TunableId::tcp_max_syn_backlog)
            tcp_.wrote(object.netns, &NetnsTcp::max_syn_backlog, limit, now);
        if (object.tunable == TunableId::udp_rcvbuf) hold(object);
        if (is_of_queue(object.tunable)) steered_.hold(object);
        if (is_of_interrupt(object.tunable)) interrupts_.hold(object);
    }

    // What was set, and is not ours any more: it was put back, or is somebody else's and to be left alone.
    void let_go_unless(const SteeredDevices::Says& is_ours, const SteeredDevices::Says& is_left_alone) {
        steered_.let_go_unless(is_ours, is_left_alone);
        interrupts_.let_go_unless(is_ours);
    }

    // Whether there is anything to decide on it by here.
    [[nodiscard]] bool sees(const ObjectKey& object) const {
        return object.tunable != TunableId::udp_rcvbuf || probes_.looks_at_udp();
    }

    // An earlier run has set it: in the next tick it is among what is looked at.
    void holds(const ObjectKey& object) {
        if (is_of_queue(object.tunable)) steered_.hold(object);
        if (is_of_interrupt(object.tunable)) interrupts_.hold(object);
        if (object.tunable != TunableId::udp_rcvbuf) return;
        hold(object);
        next_census_ = {};
    }

    // Who was about to write a sysctl within the last minute, and who did last in a namespace that is there, oldest
    // first.
    [[nodiscard]] const std::vector<SysctlWrite>& sysctl_writes() const { return sysctl_writes_; }

    // How often the listeners are counted: every tick, or less where a census takes long.
    [[nodiscard]] Nanoseconds census_interval() const { return census_interval_; }

    // What could not be read in the last tick; empty: nothing.
    [[nodiscard]] const std::string& problems() const { return problems_; }

private:
    void refresh(Now now, MonoTime next_census);
    void hold(const ObjectKey& udp_socket) {
        if (const auto held = probes_.hold_udp(udp_socket.listener_cookie); !held) note(held.error());
    }
    bool take_census(Now now);
    void read_names();
    void name(Snapshot& snapshot, const NetnsId& netns) const;
    void name_listeners(Snapshot& snapshot) const;
    void name_owners(Snapshot& snapshot) const {
        if (name_owners_) name_owners_(snapshot);
    }
    void note(const Error& error);
    void add_unheld(Now now);
    bool look_at(const NetnsId& netns, Now now);
    void look_at_udp_ports(Snapshot& snapshot, Now now);
    void read_buffers(Snapshot& snapshot);
    void look_at_udp();
    void read_softirq(Snapshot& snapshot);
    void read_steering(Snapshot& snapshot);
    void look_at_devices(const probes::NetnsReading& netns);
    void read_interrupts(Snapshot& snapshot);
    void read_conntrack(Snapshot& snapshot);
    void read_neighbours(Snapshot& snapshot);
    void read_socket_memory(Snapshot& snapshot);
    void count_sockets(MonoTime now);
    void sample_conntrack(MonoTime now, Nanoseconds interval);
    [[nodiscard]] Snapshot blank(Snapshot::Cause cause, Now now) const;
    void remember(const probes::SysctlWriteEvent& write);
    void forget_writes(MonoTime now);
    template <class T> std::vector<T> reading(Result<std::vector<T>>&& result);

    probes::Probes& probes_;
    Node node_;
    Naming name_owners_;
    NodeReader node_reader_;
    TcpTable tcp_;
    std::vector<probes::NetnsReading> namespaces_;          // of the last refresh
    std::vector<NetnsNames> names_;                         // theirs, by NetnsId
    std::vector<probes::ListenerReading> listeners_;        // of the last census
    std::optional<std::vector<probes::FlowReading>> flows_; // at the last look; nullopt: nobody looks
    std::vector<probes::UdpReading> udp_sockets_;           // at the last look
    UdpTable udp_;
    FragmentTable fragments_;
    SocketMemoryTable socket_memory_;
    SocketTable sockets_;
    MonoTime next_count_; // of sockets by state
    std::map<unsigned, probes::SoftirqReading> softirq_base_;
    Backlogs backlogs_;
    HotCpus hot_cpus_;
    SteeredDevices steered_;
    std::size_t next_devices_ = 0; // the namespace whose turn it is
    MonoTime next_own_devices_;    // those of the init namespace, and where something is ours
    Interrupts interrupts_;
    std::optional<bool> irqbalance_; // whether it runs
    MonoTime next_irqbalance_;       // when to look again
    ConntrackTables conntrack_;
    NeighbourTables neighbours_;
    std::vector<SysctlWrite> sysctl_writes_;
    Nanoseconds census_interval_{};
    MonoTime next_census_;
    MonoTime next_burst_census_;
    MonoTime next_look_;         // at the listeners of one namespace
    MonoTime next_port_look_;    // at the UDP sockets of one namespace
    std::size_t next_ports_ = 0; // the namespace whose turn it is
    Listings listings_;
    std::vector<NetnsId> unasked_; // not listed, though the last census lacked listeners of theirs
    std::string problems_;
};

} // namespace bpftune::signals

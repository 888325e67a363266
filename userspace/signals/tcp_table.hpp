// SPDX-License-Identifier: Apache-2.0
// The TCP part of a Snapshot: listeners and namespaces, made of readings. Pure: readings and times come in, rows go
// out.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"
#include "signals/flood.hpp"

namespace bpftune::signals {

class TcpTable {
public:
    struct Readings {
        std::span<const probes::NetnsReading> namespaces; // read before the listeners, so that each overflow counted
                                                          // here has its sk_drops counted there
        // nullopt: this rung sees no arrivals.
        std::optional<std::span<const probes::QueueReading>> queues;
        // nullopt: no census this time; what is known of the listeners stays.
        std::optional<std::span<const probes::ListenerReading>> listeners;
    };

    // Takes readings in. The first ones are the zero of all counters.
    void update(const Readings& readings, MonoTime now);

    // A socket began to listen: known before the next census.
    void began(const probes::ListenEvent& event);
    void ports_exhausted(const probes::PortsExhaustedEvent& event);

    // Ends the interval: rows of everything, with rates and windows since the last call.
    void tick(Snapshot& snapshot, MonoTime now);

    // Rows of the listeners of the event's namespace; the window of those that the event is about covers it, and a
    // burst is followed from now on. False: no such listener is known.
    bool pressure(const probes::PressureEvent& event, Snapshot& snapshot);

    // Rows of the listeners of the namespaces in which bursts are being followed; the window of those that have one
    // covers it. Ends bursts that lasted longer than `longest`. False: none.
    bool follow_bursts(Snapshot& snapshot, MonoTime now, Nanoseconds longest);

private:
    // Overflows of one listener that the namespace's count has not shown yet: known, or guessed from its drops. What
    // stays unexplained through two updates was a discard of another kind.
    struct Claim {
        std::uint64_t seen = 0; // of the kernel's counter
        std::uint64_t fresh = 0;
        std::uint64_t old = 0;
    };
    struct Burst {
        MonoTime since;
        std::uint32_t peak = 0;
        std::uint64_t arrivals = 0;
        std::uint64_t overflows_base = 0;
    };
    struct Tracked {
        Listener row;
        std::uint64_t drops_base = 0; // sk_drops when the source began
        Claim claim;
        std::uint32_t queue_before = 0; // when the window began
        std::optional<MonoTime> window_began;
        std::uint64_t overflows_before = 0;
        std::uint64_t queue_cookie = 0; // of the socket that has the queue
        std::optional<Burst> burst;
        Sign connect_flood; // in the last window
        bool seen = false;
    };
    struct Namespace {
        probes::NetnsReading base;
        NetnsTcp row;
        std::uint32_t max_syn_backlog = 0;
        std::uint32_t syncookies = 1;
        std::uint64_t unassigned = 0; // overflows that no listener has claimed yet; shown with those of closed ones
        std::uint64_t of_closed = 0;
        std::uint64_t entries_before = 0;
        SynWatch syns;
        bool seen = false;
    };

    void update_namespaces(std::span<const probes::NetnsReading> readings);
    void update_listeners(std::span<const probes::ListenerReading> readings, MonoTime now);
    void take_in(const probes::ListenerReading& reading, bool is_new_socket, MonoTime now);
    void update_queues(std::span<const probes::QueueReading> readings);
    void watch_syns(MonoTime now);
    void assign_overflows(const NetnsId& id, Namespace& netns);
    void close_unseen();
    static void end_window(Tracked& tracked, MonoTime began, MonoTime now);
    void begin_window(Tracked& tracked, MonoTime now) const;
    void index();
    std::vector<Tracked*> at(const NetnsId& netns, const Endpoint& local);
    std::vector<Tracked*> with_queue(std::uint64_t cookie, const NetnsId& netns, const Endpoint& local);
    [[nodiscard]] Listener row_of(const Tracked& tracked) const;

    bool started_ = false;
    bool sees_arrivals_ = false;
    std::optional<MonoTime> last_tick_;
    std::map<std::uint64_t, Tracked> listeners_; // by cookie; ordered, so that output is stable
    std::map<NetnsId, Namespace> namespaces_;
    std::multimap<std::pair<NetnsId, std::uint16_t>, std::uint64_t> by_port_; // cookies
    std::map<std::uint64_t, std::uint64_t> by_queue_;                         // cookies, by queue_cookie
};

// The limit that set `listener.limit`. `syncookies` 0 makes tcp_max_syn_backlog count (net/ipv4/tcp_input.c,
// tcp_conn_request).
Binds binds_of(const Listener& listener, std::uint32_t max_syn_backlog, std::uint32_t syncookies);

} // namespace bpftune::signals

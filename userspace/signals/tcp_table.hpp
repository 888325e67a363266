// SPDX-License-Identifier: Apache-2.0
// The TCP part of a Snapshot: listeners and namespaces, made of readings. Pure: readings and times come in, rows go
// out.
//
// What is seen for the first time, or again, counts from then: what the kernel counted before is no news. A listener
// alone may be known to be new.
#pragma once

#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"
#include "signals/flood.hpp"

namespace bpftune::signals {

// Sent again, of all segments: OutSegs are those that were not sent before, without SYN-ACKs (tcp_v4_send_synack).
// nullopt: there are none.
std::optional<double> retransmitted_percent(const probes::NetnsReading::Segments& segments);

class TcpTable {
public:
    struct Readings {
        std::span<const probes::NetnsReading> namespaces; // read before the listeners, so that each overflow counted
                                                          // here has its sk_drops counted there
        // nullopt: this rung sees no arrivals.
        std::optional<std::span<const probes::QueueReading>> queues;
        std::span<const NetnsId> left_out = {}; // of their listeners some arrivals are in no queue
        // nullopt: no census this time; what is known of the listeners stays.
        std::optional<std::span<const probes::ListenerReading>> listeners;
        // Whether the census has all listeners of each namespace, whoever holds them: one that was not in the census
        // before is new then.
        bool lists_whole_namespaces = false;
        std::span<const NetnsId> unasked; // where a listener that the census lacks may be there all the same
        // Cookies of those that it lacks and that are there, as they were. nullptr: none.
        const std::set<std::uint64_t>* unheld = nullptr;
    };

    // Takes readings in. The first ones are the zero of all counters.
    void update(const Readings& readings, MonoTime now);

    // A socket began to listen: known before the next census, and shown as soon as somebody comes. 2,048 of one
    // namespace and 16,384 of all are known so; the others are counted.
    void began(const probes::ListenEvent& event);
    [[nodiscard]] std::uint64_t not_taken_in() const { return not_taken_in_; }
    void ports_exhausted(const probes::PortsExhaustedEvent& event);

    // Some listeners, read out of turn: what waits in those that are known, and what they let wait.
    void looked(std::span<const probes::ListenerReading> readings, MonoTime now);

    // The namespaces of listeners that are known and not among these, nor by their cookies in `unheld`.
    [[nodiscard]] std::vector<NetnsId> missing_in(std::span<const probes::ListenerReading> census,
                                                  const std::set<std::uint64_t>& unheld) const;

    // This process has set its limit.
    void wrote(std::uint64_t cookie, std::uint32_t limit, MonoTime now);
    // The same of a namespace's: a later snapshot, for which it was not read again, shows it.
    void wrote(const NetnsId& netns, std::optional<std::uint32_t> NetnsTcp::* sysctl, std::uint32_t value,
               MonoTime now);

    // Ends the interval: rows of everything, with rates and windows since the last call.
    void tick(Snapshot& snapshot, MonoTime now);

    // Whether it can be told whose queue the event is about. Else it takes a look at the listeners of its namespace:
    // the one that is found under pressure by that is the one.
    [[nodiscard]] bool knows_whose(const probes::PressureEvent& event);

    // Rows of the listeners of the event's namespace; the window of the one that the event is about covers it, and a
    // burst is followed from now on. False: it cannot be told which, and nothing is to be done before the next tick.
    bool pressure(const probes::PressureEvent& event, Snapshot& snapshot);
    // Only follows the burst, if it can be told whose that is.
    void follow(const probes::PressureEvent& event) {
        if (knows_whose(event)) (void)note_pressure(event);
    }

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
        std::optional<std::uint64_t> arrivals; // nullopt: not told from those of others
        std::uint64_t overflows_base = 0;
    };
    // How full a queue became between two readings of its drops.
    struct Fill {
        std::uint32_t peak = 0;
        std::uint32_t limit = std::numeric_limits<std::uint32_t>::max(); // the lowest
        bool is_known = true;
    };
    struct Tracked {
        Listener row;
        bool transparent = false;
        bool defers = false;
        std::uint32_t limit_before = 0; // that was read before the one of now
        std::uint64_t drops_base = 0;   // sk_drops when it counts from
        std::uint64_t drops_read = 0;
        std::uint64_t fresh_drops = 0; // of the last census
        Claim claim;
        bool overflows_known = false;     // not guessed
        Fill fill;                        // since the last census
        Fill fill_before;                 // and before that
        std::uint32_t syn_queue = 0;      // the most since the last census, with what that one read
        std::uint32_t syn_queue_read = 0; // by the last census
        std::uint32_t queue_before = 0;   // when the window began
        std::optional<MonoTime> window_began;
        std::uint64_t overflows_before = 0;
        std::uint64_t queue_cookie = 0; // of the socket that has the queue
        MonoTime looked;                // when its own queue was read
        MonoTime empty;                 // when it was last read so, or first seen
        bool shares = false;            // connections came in this window that may be another listener's
        std::optional<Burst> burst;
        Sign connect_flood;                      // in the last window
        std::optional<std::uint32_t> asked_seen; // the argument of the last listen() that the probe saw
        bool asked_for_all = true;               // it was the somaxconn of its time, or more, as far as that is known
        std::uint32_t limit_known = 0;           // as read from the socket, or written by this process
        bool seen = false;
    };
    struct Namespace {
        probes::NetnsReading last;
        NetnsTcp row;
        std::uint64_t unassigned = 0; // overflows that no listener has claimed yet
        bool has_claims = true;       // some listener may claim overflows: at first that is not known
        std::uint64_t unclaimed = 0;  // of these, as the last census left them
        std::uint64_t of_closed = 0;
        std::uint64_t first_overflows = 0; // when it was first seen; until a census
        std::int64_t unexplained = 0; // of ListenDrops: neither overflows nor TCPReqQFullDrop; until the next census
        std::uint64_t syn_drops = 0;  // of no listener yet
        std::uint64_t half_open = 0;  // in SYN queues that were nearly full, by the last census
        std::uint64_t deferred = 0;   // last ACKs that wait for data, since the last census
        std::uint64_t deferred_before = 0; // that it left unexplained
        bool hides_deferring = false;      // there are such, and no listener is known to defer
        std::uint64_t ports_counted = 0;   // of NetnsReading::ports_exhausted
        std::uint64_t of_range = 0;        // of these, for want of a port of the namespace's range
        std::uint64_t of_range_before = 0; // at the last tick
        std::uint64_t arrivals = 0;        // whoever's
        bool lacks_arrivals = false;       // some were left out since the last tick
        std::uint64_t entries_before = 0;
        struct {
            std::uint64_t requests = 0;
            std::uint64_t opened = 0;
            std::uint64_t failed = 0;
        } fastopen_before;                       // as of the last tick
        probes::NetnsReading::Segments segments; // gained since the last tick
        SynWatch syns;
        bool seen = false;
        MonoTime seen_last;
        MonoTime wrote; // a sysctl, by this process
    };
    using Places = std::set<std::tuple<NetnsId, std::uint16_t, std::uint64_t>>; // namespace, port, cookie

    void update_namespaces(std::span<const probes::NetnsReading> readings, MonoTime now);
    static void count(Namespace& netns, const probes::NetnsReading& reading);
    void forget_namespaces(MonoTime now);
    void update_listeners(const Readings& readings, MonoTime now);
    Tracked& take_in(const probes::ListenerReading& reading, bool is_new_socket, MonoTime now);
    void note_queue(Tracked& tracked, const probes::ListenerReading& reading, MonoTime now);
    void note_place(Tracked& tracked, const probes::ListenerReading& reading);
    void note_limit(Tracked& tracked, std::uint32_t limit);
    void update_queues(std::span<const probes::QueueReading> readings);
    // In this window it is not known what came to it.
    static void share(Tracked& tracked);
    static void note_arrivals(Tracked& tracked, const probes::QueueReading& reading);
    void watch_syns(MonoTime now);
    bool may_be_of(const probes::QueueReading& reading, const Tracked& candidate);
    // Each of all listeners of the namespace.
    static void explain_drops(std::span<Tracked* const> listeners, Namespace& netns);
    static void charge_full_between(std::span<Tracked* const> listeners, std::span<const std::uint64_t> drops,
                                    std::uint64_t refused);
    static void explain_deferred(std::span<Tracked* const> listeners, Namespace& netns);
    void drop_claims_of_low_queues(std::span<Tracked* const> listeners) const;
    static void count_first_overflows(std::span<Tracked* const> listeners, Namespace& netns);
    static void end_census(Namespace& netns);
    static void assign_overflows(std::span<Tracked* const> listeners, Namespace& netns);
    void close_unseen(std::span<const NetnsId> unasked);
    static void end_window(Tracked& tracked, MonoTime began, MonoTime now);
    void begin_window(Tracked& tracked, MonoTime now) const;

    Tracked* known(std::uint64_t cookie);
    std::vector<Tracked*> listeners_of(const NetnsId& netns);
    std::vector<Tracked*> at(const NetnsId& netns, const Endpoint& local, bool transparent);
    std::vector<Tracked*> owners(std::uint64_t cookie, const NetnsId& netns, const Endpoint& local, bool transparent,
                                 std::uint32_t limit);
    struct Pressed {
        const Tracked* listener;
        QueueWindow window;
    };
    std::optional<Pressed> note_pressure(const probes::PressureEvent& event);
    Tracked* owner_of(const probes::PressureEvent& event);
    Tracked* found_pressed(const probes::PressureEvent& event);
    [[nodiscard]] Listener row_of(const Tracked& tracked) const;

    bool started_ = false;
    bool sees_arrivals_ = false;
    std::optional<MonoTime> last_tick_;
    std::optional<MonoTime> namespaces_read_;
    std::map<std::uint64_t, Tracked> listeners_;         // by cookie; ordered, so that output is stable
    std::map<std::uint64_t, probes::ListenEvent> began_; // since the last census, by cookie: not among listeners_
    std::map<NetnsId, std::size_t> began_in_;            // how many of these
    std::uint64_t not_taken_in_ = 0;
    std::map<NetnsId, Namespace> namespaces_;         // those that were gone a short while ago as well
    std::set<NetnsId> listed_;                        // whole, by the last census
    Places by_port_;                                  // listeners_ and began_
    std::map<std::uint64_t, std::uint64_t> by_queue_; // cookies, by queue_cookie
};

// The limit that set `listener.limit`. `syncookies` 0 makes three quarters of tcp_max_syn_backlog count, unless the SYN
// queue was full all the same (net/ipv4/tcp_input.c, tcp_conn_request).
Binds binds_of(const Listener& listener, std::uint32_t max_syn_backlog, std::uint32_t syncookies);

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
// What the controller remembers between steps: plain values, so that a step can be replayed.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"

namespace bpftune::controller {

// How much of an object has been in use since its demand last pressed, or lost, or half of it was given back.
struct Calm {
    MonoTime since;
    std::uint64_t used = 0;   // at the most
    std::uint64_t wanted = 0; // the largest size that its rule made of that
};

// Fewer are there to use an object than it was raised for.
struct Fewer {
    MonoTime since;
    std::uint64_t most = 0; // of them at once
};

// A failed raise that is in use: where it is to go as that falls.
struct Undo {
    std::uint64_t value = 0;
    std::string why;
};

// Whose account raises are charged to, beside the node's (tenant.hpp).
struct Tenant {
    std::string account; // the same for all that is its; empty: the node's own, which has no share
    std::string name;    // "default/web-1", "nginx.service"

    [[nodiscard]] bool is_node() const { return account.empty(); }
};

// An object whose value is ours.
struct Held {
    Scope scope;
    Tenant tenant;                  // as last known; of the node's own limits see tenant.hpp
    std::uint64_t original = 0;     // before our first write
    std::uint64_t current = 0;      // what we wrote last
    MonoTime since;                 // when that was decided
    MonoTime written;               // when the last write was read back: another value has been set after it
    std::optional<MonoTime> raised; // the last raise for itself, no bystander's; nullopt: none, or by an earlier run
    std::size_t raises = 0;         // of these in a row, the last one included
    // What its raises were made for: the use that their forecast expects, by each who is held to the limit.
    std::vector<std::uint64_t> expected;
    std::uint64_t used = 0; // beyond the original, as of the last tick
    Calm calm;
    Fewer fewer;
    std::optional<Undo> undo;
    bool untested = false; // its last trial was kept though its demand was not seen to return: it may have helped
};

// What was last said of an object without writing, of one kind, so that history has one row of it and not one a tick.
struct Said {
    std::string why_kind; // which rule spoke
    std::uint64_t to = 0;
    MonoTime when;
};

// What is known of the demand on one accept queue.
struct Queue {
    bool in_burst = false;         // from the first pressure until the queue has emptied
    bool raised = false;           // in this burst: its end may correct that once
    std::uint64_t demand = 0;      // of this burst so far: waiting at the peak, and lost
    bool sized = false;            // a burst has ended: the demand is known from now on
    std::optional<MonoTime> stuck; // when last it did not drain; nullopt: that is over, see accept_queue.cpp
    bool slow = false;             // it was worked off meanwhile, but slowly; else nothing was accepted to speak of
    bool refuses_clients = false;  // when last its SYN queue refused any, it was full of what can be clients
};

// What a change is for: the demand on one object. There is one trial at a time of each, and of the policy's min of it.
// An object has its own counters of demand and loss, so the trials of two do not blur each other.
struct TrialKey {
    ObjectKey object;
    bool minimum = false;
    // Of one of the node's limits, if tenants alone ask for it, the account of the one that asks for most: nobody
    // else's demand waits for a back-off of that one. Empty: the node's.
    std::string tenant;

    auto operator<=>(const TrialKey&) const = default;
};

// One that was granted its share of another's raise: what was measured is not its own.
inline bool is_bystander(const TrialKey& key, const ObjectKey& object) {
    return object.tunable == key.object.tunable && object != key.object;
}

enum class Cause {
    minimum,  // the policy's min
    forecast, // nothing was lost yet
    loss,
};

// One side of a trial.
struct Measured {
    std::uint64_t losses = 0;
    std::uint64_t demand = 0;        // what came, losses included
    std::uint64_t use = 0;           // the most that was in use at once
    std::uint64_t lost_in_flood = 0; // of SYNs, after the raise: neither loss nor demand
    // Where throughput judges: in so long; of these CPUs the time that softirqs took, and the losses.
    Nanoseconds length{};
    std::uint64_t bytes = 0; // that got through
    std::uint64_t softirq_us = 0;
    std::uint64_t cpus = 0;
};

// What one window says of how much of an object is needed.
struct Use {
    std::uint64_t used = 0;
    std::uint64_t wanted = 0; // what its rule would raise it to
    bool pressed = false;     // enough to raise it, or lost
};

// What waits in a queue, and is not worked off as fast as bursts are.
struct Behind {
    std::uint64_t waited = 0;            // at the least, through the whole window
    std::uint64_t served_per_second = 0; // meanwhile
};

// The changes that were made for one cause, until it is known whether they helped.
struct Trial {
    Cause cause = Cause::forecast;
    MonoTime since;
    MonoTime last_raise;
    std::uint64_t fitted = 0;    // at the limit that was too small: use beyond it is what the raise is for
    bool is_fitted_known = true; // else an earlier run of the service knew it: any use is beyond it
    Measured before;
    Measured after;
    std::optional<RaisedFlows> raised;         // of its connections, as last seen; where it is judged by their rate
    Nanoseconds shows_after{};                 // Reading::shows_after, as last seen
    bool filled = false;                       // a look found more in use of its object than the value before takes
    Measured undecided;                        // of the last window, whose losses may be none of this limit
    std::optional<MonoTime> behind_since;      // each tick since has found more than `fitted` not worked off
    std::optional<Behind> behind;              // as last seen; nullopt: worked off, or no more than `fitted`
    Guards guards;                             // before
    std::map<ObjectKey, std::uint64_t> values; // before: what a roll-back goes back to
    std::string verdict;                       // why it is being rolled back; empty: it is not
};

struct BackOff {
    int roll_backs = 0;
    MonoTime until;
};

// A flood of one demand.
struct Flood {
    MonoTime since; // without a calm
    MonoTime last_seen;
    std::uint64_t limit = 0; // when it began, before any raise that was on trial then
    bool once = false;       // it gets one raise, not flood_growth
    bool raised = false;     // for it
    std::string evidence;    // what spoke for it last
};

struct ReadingsMemory;

// Memory that a step leaves to the next one, of which no decision sees anything: nothing that is remembered, so a copy
// has none.
struct Spare {
    Spare() = default;
    Spare(const Spare& /*other*/) {}
    Spare& operator=(const Spare& other) {
        if (this != &other) readings.reset();
        return *this;
    }
    ~Spare() = default;

    std::shared_ptr<ReadingsMemory> readings;
};

struct State {
    std::map<ObjectKey, Held> held;
    std::map<TrialKey, Trial> trials;
    std::map<TrialKey, BackOff> back_offs;
    std::map<ObjectKey, Flood> floods; // in a part (Reading::is_part): by that, not by the node's object
    std::map<ObjectKey, std::vector<MonoTime>> changes;   // in the last hour
    std::map<ObjectKey, std::vector<MonoTime>> reasserts; // the same: our value was put back over another's
    std::map<ObjectKey, Said> said;                       // last
    std::map<ObjectKey, std::vector<Said>> said_before;   // of the node's own limits: other kinds, each once
    std::map<NetnsId, std::vector<MonoTime>> findings;    // in the last hour: rows of history that record no write
    std::map<ObjectKey, MonoTime> retry_after;            // a write failed or just happened: not before this
    std::map<ObjectKey, MonoTime> roll_back_after;        // the same of a roll-back, which waits a minute at most
    std::map<ObjectKey, unsigned> failures;               // writes in a row, each a row of history
    std::map<std::uint64_t, Queue> queues;                // by listener cookie
    std::map<ObjectKey, std::uint64_t> seen;              // at the last tick; not of sockets
    std::set<ObjectKey> yielded;                          // someone else's: left alone until restart or reload
    Spare spare;
};

} // namespace bpftune::controller

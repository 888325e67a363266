// SPDX-License-Identifier: Apache-2.0
// What the controller remembers between steps: plain values, so that a step can be replayed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "core/change.hpp"
#include "core/time.hpp"

namespace bpftune::controller {

// An object whose value is ours.
struct Held {
    Scope scope;
    std::uint64_t original = 0; // before our first write
    std::uint64_t current = 0;  // what we wrote last
    MonoTime since;             // when
    bool on_trial = true;       // not kept yet
    MonoTime clean_since;       // no loss at this object since then
};

// What was last said of an object without writing, so that history has one row of it and not one a tick.
struct Said {
    std::string why_kind; // which rule spoke
    std::uint64_t to = 0;
    MonoTime when;
};

// What is known of the demand on one accept queue.
struct Queue {
    bool in_burst = false;    // from the first pressure until the queue has emptied
    bool raised = false;      // in this burst: its end may correct that once
    std::uint64_t demand = 0; // of this burst so far: waiting at the peak, and lost
    bool sized = false;       // a burst has ended: the demand is known from now on
    bool stuck = false;       // it did not drain, and has had no calm window since
};

struct State {
    std::map<ObjectKey, Held> held;
    std::map<ObjectKey, Said> said;
    std::map<ObjectKey, MonoTime> retry_after; // a write failed or just happened: not before this
    std::map<std::uint64_t, Queue> queues;     // by listener cookie
    std::set<ObjectKey> yielded;               // someone else's: left alone until restart or reload
};

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// A node whose limits are not those that were recorded: the model of a replay under another policy.
//
// Where a value that the replay has written differs from the recorded one, every later snapshot is shown with it, and
//
//   the limit is higher   what was lost at the recorded limit has waited, up to the higher one; the rest is lost
//   the limit is lower    what waited beyond it was lost
//
// Assumed with that: a write succeeds, at once; who waited instead of being lost arrived, was accepted, and changed
// nothing else (no SYN was sent again, no queue stayed full for longer); each window by itself, what got into a
// conntrack table does not fill it later; a listener that begins anew gets what it got when it was recorded.
//
// A recorded value that changes otherwise than by a recorded write of ours is someone else's hand: it shows through.
#pragma once

#include <cstdint>
#include <map>

#include "core/change.hpp"
#include "core/snapshot.hpp"

namespace bpftune::recording {

class WhatIf {
public:
    // A write of the service that was recorded, made at `now`.
    void live_wrote(const Decision& decision, MonoTime now);
    // A write that the replay takes as made.
    void replay_wrote(const Decision& decision, MonoTime now);
    // Everything was put back.
    void restored() { values_.clear(); }

    // The recorded snapshot as it would have been, valid until the next call; nullptr: as it was recorded.
    const Snapshot* shown(const Snapshot& recorded);

private:
    struct Value {
        std::uint64_t replayed = 0;
        std::uint64_t recorded = 0;
        MonoTime since; // the last write; what was read before it says nothing
    };

    Value& value_of(const Decision& decision, MonoTime now);
    void let_others_through(const Snapshot& recorded);

    std::map<ObjectKey, Value> values_; // those that differ
    Snapshot shown_;
};

} // namespace bpftune::recording

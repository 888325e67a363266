// SPDX-License-Identifier: Apache-2.0
// What is taken back while it is in use goes back by steps.
//
// A trial that failed ends at once, but a value under which what is in use would have no room (tunables/undo.hpp) is
// not written: the object is kept, with the value that it is to go back to, and each tick sees how far that can be. The
// first steps are powers of two. Listeners go before the somaxconn that bounds them, nf_conntrack_max before the
// buckets that follow it. Another raise ends it.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "controller/gate.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

// Of the object at this tick: what waits in the queue now, or is under way to it where SYNs would be refused, the
// entries of the fullest table. nullopt: not known.
std::optional<std::uint64_t> in_use_now(const ObjectKey& object, const Snapshot& snapshot);

// Why it cannot be taken back to `value` now: "3000 are in use"; empty: it can.
std::string reason_to_wait(const Gate& gate, const ObjectKey& object, std::uint64_t value);

// Goes on with what was waiting.
void undo_rule(Gate& gate);

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// What is taken back while it is in use goes back by steps.
//
// A trial that failed ends at once, but a value under which what is in use would have no room (tunables/undo.hpp) is
// not written: the object is kept, with the value that it is to go back to, and each tick sees how far that can be. The
// first steps are powers of two. What is bounded goes before what bounds it (listeners before somaxconn), what follows
// after what it follows (buckets after nf_conntrack_max). Another raise ends it.
#pragma once

#include <cstdint>
#include <string>

#include "controller/gate.hpp"

namespace bpftune::controller {

// Why it cannot be taken back to `value` now: "3000 are in use"; empty: it can.
std::string reason_to_wait(const Gate& gate, const ObjectKey& object, std::uint64_t value);

// Goes on with what was waiting.
void undo_rule(Gate& gate);

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// How well each rung of a probe's ladder sees each signal. One table for `doctor`, docs/signals.md, and the test that
// holds every rung to it.
#pragma once

#include <span>
#include <string>
#include <string_view>

#include "core/snapshot.hpp"
#include "probes/probes.hpp"

namespace bpftune::signals {

enum class Sight {
    exact,     // as the kernel has it
    sampled,   // when it is looked at: what comes and goes between two ticks is not seen
    estimated, // the sum is exact, its parts may not be
    unseen,    // null, or zero where the field has no null
};
std::string_view to_string(Sight sight);

// A signal that a rung does not see, not exactly, or exactly but for `what`. What is not in the table is exact.
struct Limitation {
    Rung rung = Rung::none;
    std::string_view signal; // its name in the catalog
    Sight sight = Sight::unseen;
    std::string_view what;       // for people, after "does not see: "
    std::string_view where = {}; // on some kernels only: on which; the probe's own ladder says it there
};

std::span<const Limitation> limitations();

Sight sight_of(Rung rung, std::string_view signal);

// For `doctor` and the log, one line: why a rung is not taken, or what one that is does not see; empty: nothing.
std::string described(const probes::Step& step);

} // namespace bpftune::signals

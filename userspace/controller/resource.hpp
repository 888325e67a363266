// SPDX-License-Identifier: Apache-2.0
// A resource: one or more tunables that serve one demand. Each is one file with these functions, and one row in
// resources.cpp; its tunables are rows of the catalog. The rest of the controller, and the replay of a recording, walk
// these rows and name no tunable.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "controller/reading.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

class Gate;

enum class Forget {
    size, // what it was sized for: its value is less now
    all,  // its application has set it anew
};

struct Resource {
    // Adds a reading for each of its objects that the snapshot has.
    void (*read)(const View& view, std::vector<Reading>& readings);
    // Turns what is wanting into wishes, and hands these to the gate.
    void (*rule)(Gate& gate);
    // Shows the snapshot as it would be if objects had other values. `value_of`: the one to show, if it is another.
    void (*show)(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
    // Forgets what it remembers of the demand on one object; nullptr: nothing.
    void (*forget_demand)(State& state, const ObjectKey& object, Forget what) = nullptr;
    // The same of all that are gone.
    void (*forget_gone)(State& state, const Readings& readings) = nullptr;
};

std::span<const Resource> resources(); // in the order in which their rules speak

void forget_demand(State& state, const ObjectKey& object, Forget what); // of whichever resource it is

} // namespace bpftune::controller

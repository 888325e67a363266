// SPDX-License-Identifier: Apache-2.0
// What raises cost the node in memory.
//
// A limit takes no memory; what is in use beyond the original one does. A raise is charged with the use that its
// forecast expects, headroom included, before it was rounded to a power of two; when more is in use, with that. What is
// not used any more is released after a while (give_back.hpp). The worst case is that everyone who is held to the limit
// fills it. Bytes for each unit: this kernel's, else the catalog's.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"

namespace bpftune::controller {

class Gate;

// Of all raises of one object since its original.
struct Cost {
    std::uint64_t charged_bytes = 0;
    std::uint64_t worst_bytes = 0;
    std::uint64_t sharers = 1; // who may each fill it
    std::string_view of;       // what these are: "namespaces"
};
Cost cost_of(const ObjectKey& object, const Held& held, const Gate& gate);

// "412.0 MiB (worst case 3.1 GiB over 8 namespaces)"
std::string to_string(const Cost& cost);

std::string size_text(std::uint64_t bytes); // "80.0 KiB", "412.0 MiB", "3.1 GiB"

// What `uses` come to beyond the original, none of them counted past the limit.
std::uint64_t beyond(std::uint64_t original, std::uint64_t limit, const std::vector<std::uint64_t>& uses);

// What is charged for everything that is held, except for one object if one is named.
std::uint64_t charged_bytes(const Gate& gate, const std::optional<ObjectKey>& except = std::nullopt);
// The same of what is one tenant's. What it has raised of the node's limits counts for these alone (`except` is one):
// others fill them as well.
struct TenantCharge {
    std::uint64_t bytes = 0;
    std::uint64_t bytes_for_itself = 0; // without what was raised only because it waits beside what asked
};
TenantCharge charge_of(const Gate& gate, const Tenant& tenant, const ObjectKey& except);
// The same of all, outside of a step.
std::uint64_t charged_bytes(const State& state, const UnitBytes& of_kernel);

// At a tick: what of each object is in use now, and whose it is. What was not looked at stays, but for those who are
// gone.
void note_use(Gate& gate);

} // namespace bpftune::controller

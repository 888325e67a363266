// SPDX-License-Identifier: Apache-2.0
// The tunables: one row each. Policy keys, bounds, doctor's list, docs/tunables.md and the actuator that applies one
// come from its row. A new tunable is a new row, and code only where its kind is new.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "core/change.hpp"
#include "core/time.hpp"

namespace bpftune::tunables {

// Which actuator applies it, and where it lives.
enum class Kind {
    netns_sysctl, // below /proc/sys/net, one value for each network namespace
    host_sysctl,  // below /proc/sys, one value for the node, written from the init network namespace only
    listener,     // sk_max_ack_backlog of one listening socket
};

struct Tunable {
    TunableId id;
    std::string_view name; // the kernel's spelling; the key in a policy
    Kind kind;
    std::string_view path;               // below /proc/sys; empty for other kinds
    std::string_view alias;              // another path to the same value; empty: none
    std::string_view module_option = {}; // of the kernel module, which sets it when that is loaded: MODULE.OPTION
    std::uint64_t kernel_min;            // what the kernel takes
    std::uint64_t kernel_max;
    std::uint64_t granule = 1; // it rounds up to multiples of this at most
    std::uint64_t default_max; // no raise goes past it unless the policy says so
    // The calm after which it is given back unless the policy says otherwise; nullopt: never.
    std::optional<Nanoseconds> default_shrink_after;
    bool opt_in; // only a policy that names it allows it
    // What one unit in use costs the node in memory, where the kernel does not tell: as charged, and at worst.
    std::uint64_t unit_bytes;
    std::uint64_t worst_unit_bytes;
    std::string_view memory;  // how the bytes of a unit are known, and how many units are charged
    std::string_view serves;  // the signal whose loss it cures
    std::string_view help;    // one sentence
    std::string_view risk;    // one sentence
    std::string_view source;  // kernel file behind the facts above
    std::string_view formula; // how much a raise asks for; the controller's rule has it in code
    std::string_view derived; // where the formula comes from
    std::string_view assumes; // what must hold for it to be right
};

std::span<const Tunable> catalog(); // in the order of TunableId
const Tunable& row(TunableId id);
const Tunable* find(std::string_view name);

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
// What the kernel has counted since boot and has now, for `doctor`: by network namespace what `ss -ta | sort | uniq
// -c`, /proc/net/snmp and the conntrack files say there, and of all CPUs what softnet_stat says. What these rights, or
// this kernel, do not show is not known.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/probes.hpp"
#include "views/json.hpp"

namespace bpftune::service {

struct Counted {
    struct Netns {
        NetnsId netns;
        std::string name; // that it is bound under, safe to print; empty: none
        std::optional<probes::NetnsReading::Segments> segments;
        std::optional<TcpStates> states;
        std::optional<std::uint64_t> conntrack_entries;
        std::optional<ConntrackStates> conntrack; // estimates, of those with most entries
    };
    std::vector<Netns> namespaces;                 // those with most sockets first
    std::optional<probes::SoftirqReading> softnet; // of all CPUs together
    std::optional<std::uint64_t> conntrack_limit;
};

Counted count(probes::Probes& probes);

views::Json document_of(const Counted& counted);
// Lines, of so many namespaces at most.
std::vector<std::string> lines_of(const Counted& counted, std::size_t most);

} // namespace bpftune::service

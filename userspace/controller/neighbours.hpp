// SPDX-License-Identifier: Apache-2.0
// The neighbour tables: net.ipv4.neigh.default.gc_thresh3 (ARP) and net.ipv6.neigh.default.gc_thresh3 (NDISC), each one
// number for the node, which all network namespaces share; gc_thresh2 and gc_thresh1 keep their proportion to it.
//
// A table at gc_thresh3 in which each entry was confirmed within 5 s, or still waits for its answer, refuses new
// neighbours: their packets are lost, and sendto() says nothing (net/core/neighbour.c, neigh_alloc). Where these are
// peers that answer, more may be there:
//
//   size = gc_thresh3 + packets that were lost in a few seconds, as a power of two; twice at least, four times at most
//
// Who scans a subnet fills the table as well, with entries that nobody answers: half of what was asked for or more is
// no reason for a raise, which would hold more of the same. Whose they are is not known, so they are the node's own
// demand.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace neighbour_tables {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace neighbour_tables

inline constexpr Resource neighbours{
    .read = neighbour_tables::read, .rule = neighbour_tables::rule, .show = neighbour_tables::show};

} // namespace bpftune::controller

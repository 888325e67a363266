// SPDX-License-Identifier: Apache-2.0
// The memory that all sockets of a protocol share: net.ipv4.tcp_mem and net.ipv4.udp_mem, each three numbers for the
// node, in pages, which keep their proportion.
//
//   size = twice what it is
//
// That makes the first number what the third one was, in the kernel's own proportion: what is in use is below where
// pressure ends. TCP suffers from the second number on, UDP from the first (SocketMemory::limit_bytes()).
//
// Only where a pool has been near that for 5 s, and lost something for it. A leak fills any limit: where half of the
// pool or more is in sockets that do not move, or that no process holds, that is said, with whose they are, and nothing
// is raised; nor where it is not known. And only where the node has twice as much memory free as the raise adds, and
// its tasks do not wait for memory. The guards judge the raise as any other: one that TCP outgrows at once is taken
// back.
//
// Where one network namespace has half of the pool or more the demand is its own: it is left out where an entry of the
// policy says so, or a user has made it, and else held to its tenant's share. Who spreads it over several is not found.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace pools {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace pools

inline constexpr Resource socket_memory{.read = pools::read, .rule = pools::rule, .show = pools::show};

} // namespace bpftune::controller

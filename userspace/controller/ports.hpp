// SPDX-License-Identifier: Apache-2.0
// Local ports: net.ipv4.ip_local_port_range, tcp_tw_reuse and tcp_tw_reuse_delay, of each network namespace.
//
// connect() takes a port that no other connection from the same address to the same destination has, one in TIME_WAIT
// included. Where none is left it fails at once, whatever the peer could take. More ports help the next connect().
//
//   size = connections wanted a second x 60 s in TIME_WAIT, twice as many at least, as far as they may go
//
// A range that is smaller than the kernel's own was made so by somebody, as where several share an address by ports:
// it is widened only where the policy names the tunable.
//
// It grows at its lower end, and never over a port that some socket listens at there: a server that is started again
// would find its port taken by a connection. In the node's own namespace NodePorts lie below it, which no socket shows:
// nothing is raised there. Ports of ip_local_reserved_ports are never chosen, whatever the range.
//
// Where it may go no further, and TIME_WAIT holds half of it, tcp_tw_reuse lets these be taken again after a second, if
// the policy names it; and tcp_tw_reuse_delay, where the kernel has it, after as little as they are wanted.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace local_ports {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace local_ports

inline constexpr Resource ports{.read = local_ports::read, .rule = local_ports::rule, .show = local_ports::show};

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// The receive buffer of one UDP socket.
//
// Demand is datagrams; loss is those that met a full buffer. A burst that is read fast finds its queue empty again a
// moment later: the buffer was too small for it. Who reads too slowly, or not at all, has it full at nearly every look:
// there a larger one is only a longer delay, said and left alone. Nothing is decided on fewer than three looks.
//
// A raise is for a burst as it was seen to be lost, and its trial goes by loss for each datagram that came to the
// namespace: a socket has no count of its own, and a busy neighbour may be what came. So a raise that was kept speaks
// for the node's sizes (socket_sizes.hpp) only where its queue was seen beyond the old buffer. What a stranger sends
// looks like anybody's: a raise believes in twice as many lost as fitted, is rolled back where it did not halve the
// loss, and is charged to memoryBudget whole.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace datagrams {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
// The buffer that bursts like those it lost would need, in bytes, headroom included.
std::uint64_t size_for(const UdpSocket& socket);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace datagrams

inline constexpr Resource udp_buffers{.read = datagrams::read, .rule = datagrams::rule, .show = datagrams::show};

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// The buffers of TCP by network namespace, and which flows they hold back. Pure.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "core/snapshot.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

// A row for each namespace, in the order of NetnsId. `flows` is nullopt: nobody looks at them. `sizes`: the node's, as
// far as they are known now. `room`: what it holds is dropped, its memory is used.
std::vector<TcpBuffers> buffers(std::span<const probes::NetnsReading> namespaces,
                                const std::optional<std::vector<probes::FlowReading>>& flows,
                                const SocketSizes& sizes = {}, std::vector<TcpBuffers> room = {});

// Whether more is to be known of these soon: one is held back, was so at a smaller limit, or was looked at only once.
bool is_worth_a_look(std::span<const probes::FlowReading> flows);

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "controller/accept_queue.hpp"
#include "controller/backlog.hpp"
#include "controller/congestion.hpp"
#include "controller/conntrack.hpp"
#include "controller/conntrack_timeouts.hpp"
#include "controller/fast_open.hpp"
#include "controller/fragments.hpp"
#include "controller/interrupts.hpp"
#include "controller/neighbours.hpp"
#include "controller/ports.hpp"
#include "controller/resource.hpp"
#include "controller/socket_memory.hpp"
#include "controller/socket_sizes.hpp"
#include "controller/steering.hpp"
#include "controller/tcp_buffers.hpp"
#include "controller/udp_buffers.hpp"

namespace bpftune::controller {

std::span<const Resource> resources() {
    static constexpr std::array rows{accept_queue, conntrack,   conntrack_timeouts,
                                     tcp_buffers,  udp_buffers, backlog,
                                     ports,        neighbours,  fragments,
                                     socket_sizes, congestion,  socket_memory,
                                     fast_open,    steering,    interrupts}; // what a burst waits for first
    return rows;
}

} // namespace bpftune::controller

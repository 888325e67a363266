// SPDX-License-Identifier: Apache-2.0
// Listeners by netlink (sock_diag), for kernels that refuse BPF.
#pragma once

#include <vector>

#include "core/result.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"
#include "sys/fd.hpp"

namespace bpftune::probes {

// The listening TCP sockets of the namespace that `socket` (Netlink::sock_diag) belongs to, MPTCP's with the queue of
// their subflow. Who holds them is not told, nor which namespace it is. `with_syn_queues`: all handshakes under way are
// listed too, and counted for listeners that have their port alone.
Result<std::vector<ListenerReading>> listeners_by_sock_diag(const sys::Fd& socket, bool with_syn_queues);

// The highest local port below `first` that a UDP socket of that namespace has, the kernel's own too; 0: none. Error
// code ETIME: there were more at `deadline`.
Result<std::uint16_t> udp_port_below(const sys::Fd& socket, std::uint16_t first, MonoTime deadline);

} // namespace bpftune::probes

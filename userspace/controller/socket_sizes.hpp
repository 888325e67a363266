// SPDX-License-Identifier: Apache-2.0
// How large the buffers of sockets may be asked for, and begin: net.core.rmem_max, wmem_max, rmem_default and
// wmem_default, one number each for the node.
//
// The maxima cut what SO_RCVBUF and SO_SNDBUF ask for, without an error; the defaults are what UDP and others but TCP
// begin with (net/core/sock.c). What TCP grows by itself they do not bound. No socket that is there takes a new value:
// a raise could be judged only by what the same application loses after its next start, which no snapshot knows to be
// the same. So nothing that is seen raises them. A policy's `min` does; what is lost to them is said, with the `min`
// that would help, and what has to start again.
//
// The running socket comes first (udp_buffers.hpp). One that bursts overflow speaks for rmem_max if its application set
// it to twice that exactly: it was cut, or asked for that much. Two or more that set nothing speak for rmem_default.
// What a stranger sends to a socket buys words alone.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace sizes {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace sizes

inline constexpr Resource socket_sizes{.read = sizes::read, .rule = sizes::rule, .show = sizes::show};

} // namespace bpftune::controller

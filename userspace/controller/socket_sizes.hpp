// SPDX-License-Identifier: Apache-2.0
// How large the buffers of sockets may be asked for, and begin: net.core.rmem_max, wmem_max, rmem_default and
// wmem_default, one number each for the node.
//
// The maxima cut what SO_RCVBUF and SO_SNDBUF ask for, without an error; the defaults are what UDP and others but TCP
// begin with (net/core/sock.c). What TCP grows by itself they do not bound. No socket that is there takes a new value:
// whether a raise helped could be told only by what the same application loses after its next start, which no snapshot
// knows to be the same. So no trial judges them (JudgedBy::nothing), and each raise has its proof before it is made:
//
//   rmem_max      a UDP socket that its application set to twice that exactly (it was cut, or asked for that much), and
//                 whose own raise (udp_buffers.hpp) was kept as less was lost; or that bursts overflow, where the
//                 policy allows it no raise of its own. A connection with such a buffer that its window holds back.
//   wmem_max      a connection with twice that exactly, that its send buffer holds back.
//   rmem_default  two UDP sockets or more that set no size, and whose own raises were kept as less was lost.
//   wmem_default  nothing that is seen.
//
// The queue of a socket whose raise was kept has to have been seen beyond its old buffer: what came to its namespace
// may have been for others (trial.hpp).
//
// Where the policy does not name them that is said, and what has to start again. A socket of before the raise has twice
// the old value: it speaks for no further one.
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

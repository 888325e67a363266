// SPDX-License-Identifier: Apache-2.0
// How far TCP's buffers may grow: the last values of net.ipv4.tcp_rmem and net.ipv4.tcp_wmem of a network namespace.
//
// Demand is a connection that a buffer holds back: it is as large as it may be, it is filled in every round trip, and
// neither the application nor the network is behind (bpf/flows.iter.bpf.c). That is no loss, and at a buffer that is
// too small the rate says nothing of the bandwidth that there is. So the size is found by steps of two, each a trial by
// itself: it is kept where the connections that were held back are faster, and taken back where they are not, as with a
// bottleneck whose queue is shorter than what is sent now. Both ends are raised at once where both are known to bind.
//
// What an application has set (SO_RCVBUF, SO_SNDBUF), and the window scale of a handshake, no sysctl changes for a
// running connection: said, and nothing is raised for it.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace buffers {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace buffers

inline constexpr Resource tcp_buffers{.read = buffers::read, .rule = buffers::rule, .show = buffers::show};

} // namespace bpftune::controller

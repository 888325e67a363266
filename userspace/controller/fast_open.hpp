// SPDX-License-Identifier: Apache-2.0
// TCP Fast Open of servers: bit 2 of net.ipv4.tcp_fastopen, of each network namespace.
//
// A server takes a request with the SYN where its application asks for that (TCP_FASTOPEN) and the namespace allows it.
// Where the one does and the other does not, each client that asks for a cookie gets none, and needs a round trip more.
// So the bit is set where both are seen: a listener that asks, and clients that ask in vain. It is kept where requests
// then come with SYNs, or nobody tries, and taken back where three of four that try fail.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace fast_opens {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace fast_opens

inline constexpr Resource fast_open{.read = fast_opens::read, .rule = fast_opens::rule, .show = fast_opens::show};

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "probes/netlink_listeners.hpp"

#include <algorithm>
#include <chrono>
#include <iterator>

#include "probes/sock_diag.hpp"
#include "sys/clock.hpp"

namespace bpftune::probes {
namespace {

constexpr Nanoseconds longest_dump = std::chrono::milliseconds(20); // of some 20,000 sockets

} // namespace

Result<std::vector<ListenerReading>> NetlinkListeners::read_one(const NetnsReading& netns) const {
    const auto visit = visit_(netns.netns, netns.hint(), {sys::Netlink::sock_diag});
    if (!visit) return std::unexpected(visit.error());
    // With cookies a SYN queue says nothing of loss: what lists it is spared.
    auto listeners = listeners_by_sock_diag(visit->socket, netns.syncookies == 0);
    if (!listeners) return listeners;
    for (ListenerReading& listener : *listeners) listener.netns = netns.netns;
    return listeners;
}

Result<std::uint16_t> NetlinkListeners::udp_port_below(const NetnsReading& netns) const {
    if (!netns.local_ports) return failure("its range of local ports is not known");
    const auto visit = visit_(netns.netns, netns.hint(), {sys::Netlink::sock_diag});
    if (!visit) return std::unexpected(visit.error());
    return probes::udp_port_below(visit->socket, netns.local_ports->first, sys::now().mono + longest_dump);
}

Result<std::vector<ListenerReading>> NetlinkListeners::read(std::span<const NetnsReading> namespaces) {
    std::vector<ListenerReading> all;
    for (const NetnsReading& netns : namespaces) {
        if (!netns.has_sockets) continue;
        const auto listeners = read_one(netns);
        if (!listeners && (sys::is_denied(listeners.error()) || listeners.error().code == ESTALE)) continue;
        if (!listeners) return listeners; // else its listeners would count as closed
        std::ranges::copy(*listeners, std::back_inserter(all));
    }
    holders_.name(all);
    return all;
}

} // namespace bpftune::probes

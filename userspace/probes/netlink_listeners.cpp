// SPDX-License-Identifier: Apache-2.0
#include "probes/netlink_listeners.hpp"

#include <algorithm>
#include <iterator>

#include "probes/sock_diag.hpp"

namespace bpftune::probes {

Result<std::vector<ListenerReading>> NetlinkListeners::read_one(const NetnsReading& netns) const {
    const auto visit = visit_(netns.netns, netns.hint(), {sys::Netlink::sock_diag});
    if (!visit) return std::unexpected(visit.error());
    // With cookies a SYN queue says nothing of loss: what lists it is spared.
    auto listeners = listeners_by_sock_diag(visit->socket, netns.syncookies == 0);
    if (!listeners) return listeners;
    for (ListenerReading& listener : *listeners) listener.netns = netns.netns;
    return listeners;
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

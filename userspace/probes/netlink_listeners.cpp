// SPDX-License-Identifier: Apache-2.0
#include "probes/netlink_listeners.hpp"

#include "probes/sock_diag.hpp"

namespace bpftune::probes {

Result<std::vector<ListenerReading>> NetlinkListeners::read(std::span<const NetnsReading> namespaces) {
    std::vector<ListenerReading> all;
    for (const NetnsReading& netns : namespaces) {
        const auto visit = visit_(netns.netns, netns.pid, sys::Netlink::sock_diag);
        if (!visit && !sys::is_denied(visit.error()) && visit.error().code != ESTALE)
            return std::unexpected(visit.error()); // else its listeners would count as closed
        if (!visit) continue;
        const auto listeners = listeners_by_sock_diag(visit->socket);
        if (!listeners) return std::unexpected(listeners.error());
        for (const ListenerReading& listener : *listeners) all.emplace_back(listener).netns = netns.netns;
    }
    holders_.name(all);
    return all;
}

} // namespace bpftune::probes

// SPDX-License-Identifier: Apache-2.0
#include "probes/sock_diag.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <map>

#include <arpa/inet.h>
#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include "probes/decode.hpp"
#include "sys/clock.hpp"
#include "sys/inet_diag.hpp"

namespace bpftune::probes {
namespace {

constexpr __u8 attributes = 1U << (INET_DIAG_SKMEMINFO - 1);

Endpoint endpoint_of(const inet_diag_msg& socket) {
    abi_endpoint local{};
    if (socket.idiag_family == AF_INET) {
        local.address[10] = local.address[11] = 0xff; // as the kernel maps IPv4
        std::memcpy(local.address + 12, socket.id.idiag_src, sizeof(in_addr));
    } else {
        std::memcpy(local.address, socket.id.idiag_src, sizeof(in6_addr));
    }
    local.port = ntohs(socket.id.idiag_sport);
    return endpoint(local);
}

template <class T> T payload_of(const nlattr* attribute) {
    T payload{};
    std::memcpy(&payload, mnl_attr_get_payload(attribute),
                std::min<std::size_t>(mnl_attr_get_payload_len(attribute), sizeof payload));
    return payload;
}

int take_attribute(const nlattr* attribute, void* to) {
    auto& reading = *static_cast<ListenerReading*>(to);
    if (mnl_attr_get_type(attribute) == INET_DIAG_SKMEMINFO)
        reading.drops = payload_of<std::array<__u32, SK_MEMINFO_VARS>>(attribute)[SK_MEMINFO_DROPS];
    if (mnl_attr_get_type(attribute) == INET_DIAG_SOCKOPT)
        reading.transparent = payload_of<inet_diag_sockopt>(attribute).transparent != 0;
    return MNL_CB_OK;
}

// Of a listener rqueue is its queue and wqueue its limit (net/ipv4/tcp_diag.c, tcp_diag_get_info).
ListenerReading reading_of(const nlmsghdr& message, const inet_diag_msg& socket) {
    ListenerReading reading{.cookie = sys::cookie_of(socket),
                            .inode = socket.idiag_inode,
                            .local = endpoint_of(socket),
                            .queue = socket.idiag_rqueue,
                            .limit = socket.idiag_wqueue,
                            .queue_cookie = sys::cookie_of(socket)};
    mnl_attr_parse(&message, sizeof(inet_diag_msg), take_attribute, &reading);
    return reading;
}

template <class Take> Result<> dump(const sys::Fd& socket, int family, int protocol, __u32 states, Take take) {
    const sys::InetDump all{.family = family, .protocol = protocol, .states = states, .attributes = attributes};
    return sys::dump_sockets(socket, all, [&](const nlmsghdr& message, const inet_diag_msg& found) {
        take(message, found);
        return true;
    });
}

// A process holds the MPTCP socket and knows its cookie; the queue is that of the subflow, which has the same inode.
Result<> name_mptcp(const sys::Fd& socket, int family, std::vector<ListenerReading>& listeners) {
    const auto named = dump(
        socket, family, sys::mptcp_protocol, sys::listening_state, [&](const nlmsghdr&, const inet_diag_msg& holder) {
            const auto subflow = std::ranges::find(listeners, holder.idiag_inode, &ListenerReading::inode);
            if (holder.idiag_inode != 0 && subflow != listeners.end()) subflow->cookie = sys::cookie_of(holder);
        });
    const bool unknown = !named && (named.error().code == ENOENT || named.error().code == EINVAL);
    return unknown ? Result<>() : named;
}

// Whose a handshake is, is not told: that of the listener that has the port alone.
void fill_syn_queues(const std::map<std::uint16_t, std::uint32_t>& by_port, std::vector<ListenerReading>& listeners) {
    std::map<std::uint16_t, int> sharing;
    for (const ListenerReading& listener : listeners) ++sharing[listener.local.port];
    for (ListenerReading& listener : listeners) {
        if (sharing[listener.local.port] > 1) continue;
        const auto found = by_port.find(listener.local.port);
        listener.syn_queue = found == by_port.end() ? 0 : found->second;
    }
}

} // namespace

Result<std::vector<ListenerReading>> listeners_by_sock_diag(const sys::Fd& socket, bool with_syn_queues) {
    std::vector<ListenerReading> listeners;
    std::map<std::uint16_t, std::uint32_t> under_way; // by port
    const auto add = [&](const nlmsghdr& message, const inet_diag_msg& found) {
        listeners.push_back(reading_of(message, found));
    };
    const auto count = [&](const nlmsghdr&, const inet_diag_msg& found) { ++under_way[ntohs(found.id.idiag_sport)]; };
    for (const int family : {AF_INET, AF_INET6}) {
        const std::size_t of_others = listeners.size();
        if (auto done = dump(socket, family, IPPROTO_TCP, sys::listening_state, add); !done)
            return std::unexpected(done.error());
        if (listeners.empty()) continue;
        if (listeners.size() > of_others) // the kernel walks all MPTCP sockets of the node for it
            if (auto done = name_mptcp(socket, family, listeners); !done) return std::unexpected(done.error());
        if (!with_syn_queues) continue;
        if (auto done = dump(socket, family, IPPROTO_TCP, sys::half_open_state, count); !done)
            return std::unexpected(done.error());
    }
    if (with_syn_queues) fill_syn_queues(under_way, listeners);
    return listeners;
}

Result<std::uint16_t> udp_port_below(const sys::Fd& socket, std::uint16_t first, MonoTime deadline) {
    std::uint16_t highest = 0;
    for (const int family : {AF_INET, AF_INET6}) {
        bool late = false;
        const sys::InetDump all{.family = family, .protocol = IPPROTO_UDP, .states = sys::any_state};
        const auto done = sys::dump_sockets(socket, all, [&](const nlmsghdr&, const inet_diag_msg& found) {
            const std::uint16_t port = ntohs(found.id.idiag_sport);
            if (port < first) highest = std::max(highest, port);
            late = sys::now().mono >= deadline;
            return !late;
        });
        if (late) return std::unexpected(Error{"look for UDP ports below the local ones: it takes too long", ETIME});
        if (!done) return with_context(done.error(), "look for UDP ports below the local ones");
    }
    return highest;
}

} // namespace bpftune::probes

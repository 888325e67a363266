// SPDX-License-Identifier: Apache-2.0
#include "sys/inet_diag.hpp"

#include <array>
#include <cstring>

#include <libmnl/libmnl.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>

#include "sys/clock.hpp"
#include "sys/netlink.hpp"

namespace bpftune::sys {

namespace {

// Whether a connection to what the kernel lists may be one of a listener at this address.
bool may_be_at(const inet_diag_msg& socket, const sockaddr_storage& listener) {
    if (listener.ss_family == AF_INET) {
        const in_addr address = reinterpret_cast<const sockaddr_in&>(listener).sin_addr;
        return socket.idiag_family == AF_INET &&
               (address.s_addr == INADDR_ANY || socket.id.idiag_src[0] == address.s_addr);
    }
    const in6_addr& address = reinterpret_cast<const sockaddr_in6&>(listener).sin6_addr;
    if (IN6_IS_ADDR_UNSPECIFIED(&address) || IN6_IS_ADDR_V4MAPPED(&address)) return true;
    return socket.idiag_family == AF_INET6 && std::memcmp(socket.id.idiag_src, &address, sizeof address) == 0;
}

} // namespace

Result<> dump_sockets(const Fd& socket, const InetDump& dump,
                      const std::function<bool(const nlmsghdr&, const inet_diag_msg&)>& take) {
    alignas(nlmsghdr) std::array<char, 256> buffer{};
    nlmsghdr* question = mnl_nlmsg_put_header(buffer.data());
    question->nlmsg_type = SOCK_DIAG_BY_FAMILY;
    question->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    auto* about = static_cast<inet_diag_req_v2*>(mnl_nlmsg_put_extra_header(question, sizeof(inet_diag_req_v2)));
    about->sdiag_family = static_cast<__u8>(dump.family);
    about->sdiag_protocol = static_cast<__u8>(dump.protocol);
    about->idiag_ext = dump.attributes;
    about->idiag_states = dump.states;
    about->id.idiag_sport = htons(dump.port);
    // The field has 8 bits.
    if (dump.protocol == mptcp_protocol) mnl_attr_put_u32(question, INET_DIAG_REQ_PROTOCOL, mptcp_protocol);
    return ask_kernel_while(socket, *question, [&](const nlmsghdr& message) {
        if (mnl_nlmsg_get_payload_len(&message) < sizeof(inet_diag_msg)) return true;
        return take(message, *static_cast<const inet_diag_msg*>(mnl_nlmsg_get_payload(&message)));
    });
}

std::uint64_t cookie_of(const inet_diag_msg& socket) {
    return std::uint64_t{socket.id.idiag_cookie[1]} << 32 | socket.id.idiag_cookie[0];
}

namespace {

// Of both families. False also on a kernel that has no such diagnosis.
Result<bool> is_listed_here(std::uint64_t cookie, int protocol, std::uint32_t states, MonoTime deadline) {
    const auto socket = open_netlink(Netlink::sock_diag);
    if (!socket) return std::unexpected(socket.error());
    for (const int family : {AF_INET, AF_INET6}) {
        bool found = false;
        bool late = false;
        const auto asked = dump_sockets(*socket, {.family = family, .protocol = protocol, .states = states},
                                        [&](const nlmsghdr&, const inet_diag_msg& each) {
                                            found = cookie_of(each) == cookie;
                                            late = !found && now().mono >= deadline;
                                            return !found && !late;
                                        });
        if (found) return true;
        if (late) return std::unexpected(Error{"look for a socket among all of its kind: it takes too long", ETIME});
        const bool none = !asked && (asked.error().code == ENOENT || asked.error().code == EINVAL);
        if (!asked && !none) return std::unexpected(asked.error());
    }
    return false;
}

} // namespace

Result<bool> listens_here(std::uint64_t cookie, MonoTime deadline) {
    for (const int protocol : {int{IPPROTO_TCP}, mptcp_protocol}) {
        auto listed = is_listed_here(cookie, protocol, listening_state, deadline);
        if (!listed || *listed) return listed;
    }
    return false;
}

Result<bool> receives_datagrams_here(std::uint64_t cookie, MonoTime deadline) {
    return is_listed_here(cookie, IPPROTO_UDP, any_state, deadline);
}

Result<std::uint64_t> half_open_here(const sockaddr_storage& listener, MonoTime deadline) {
    const auto socket = open_netlink(Netlink::sock_diag);
    if (!socket) return std::unexpected(socket.error());
    const std::uint16_t port = ntohs(reinterpret_cast<const sockaddr_in&>(listener).sin_port); // where IPv6 has it too
    std::uint64_t count = 0;
    for (const int family : {AF_INET, AF_INET6}) {
        bool late = false;
        const auto asked =
            dump_sockets(*socket, {.family = family, .protocol = IPPROTO_TCP, .states = half_open_state, .port = port},
                         [&](const nlmsghdr&, const inet_diag_msg& each) {
                             if (may_be_at(each, listener)) ++count;
                             late = now().mono >= deadline;
                             return !late;
                         });
        if (late) return std::unexpected(Error{"count the handshakes under way: it takes too long", ETIME});
        if (!asked) return with_context(asked.error(), "count the handshakes under way");
    }
    return count;
}

} // namespace bpftune::sys

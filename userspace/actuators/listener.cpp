// SPDX-License-Identifier: Apache-2.0
#include "actuators/object.hpp"

#include <algorithm>
#include <limits>

#include <sys/socket.h>

#include "actuators/socket.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/inet_diag.hpp"
#include "sys/netns.hpp"
#include "sys/sockets.hpp"

namespace bpftune::actuators {
namespace {

Result<> check_listens(int socket) {
    const auto listens = sys::is_listening(socket);
    if (!listens) return std::unexpected(listens.error());
    if (!*listens) return gone("the socket does not listen any more");
    return {};
}

Result<sys::NetnsGuard> enter_netns_of(int socket, const NetnsId& expected) {
    const auto netns = sys::netns_of_socket(socket);
    if (!netns) return std::unexpected(netns.error());
    auto inside = sys::NetnsGuard::enter(*netns, expected);
    if (!inside) return with_context(inside.error(), "the listener's network namespace");
    return inside;
}

Result<std::uint64_t> somaxconn_of(int socket, const NetnsId& expected) {
    const auto inside = enter_netns_of(socket, expected);
    if (!inside) return std::unexpected(inside.error());
    return sys::read_number("/proc/sys/net/core/somaxconn");
}

// Handshakes under way, where too many of them have SYNs refused: not with cookies (net/ipv4/tcp_input.c,
// tcp_conn_request).
Result<std::uint64_t> handshakes_of(int socket, const NetnsId& expected) {
    const auto inside = enter_netns_of(socket, expected);
    if (!inside) return std::unexpected(inside.error());
    const auto cookies = sys::read_number("/proc/sys/net/ipv4/tcp_syncookies");
    if (!cookies && cookies.error().code != ENOENT) return std::unexpected(cookies.error()); // else not built
    if (cookies && *cookies != 0) return 0;
    sockaddr_storage local{};
    socklen_t size = sizeof local;
    if (::getsockname(socket, reinterpret_cast<sockaddr*>(&local), &size) != 0)
        return system_failure(errno, "the listener's address");
    return sys::half_open_here(local, sys::now().mono + longest_look);
}

} // namespace

Result<ListeningSocket> ListeningSocket::fetch(const Scope& scope) {
    auto socket = fetch_socket(scope, sys::listens_here); // on a kernel that has no cookie of it set() looks inside
    if (!socket) return std::unexpected(socket.error());
    if (const auto listens = check_listens(socket->value()); !listens) return std::unexpected(listens.error());
    return ListeningSocket(std::move(*socket), scope.netns);
}

Result<std::uint64_t> ListeningSocket::value() const {
    const auto queue = sys::accept_queue(socket_.value());
    if (!queue) return std::unexpected(queue.error());
    return queue->limit;
}

Result<std::uint64_t> ListeningSocket::in_use() const {
    const auto handshakes = handshakes_of(socket_.value(), netns_);
    if (!handshakes) return std::unexpected(handshakes.error());
    const auto queue = sys::accept_queue(socket_.value());
    if (!queue) return std::unexpected(queue.error());
    return std::max<std::uint64_t>(queue->length, *handshakes);
}

Result<> ListeningSocket::set(std::uint64_t limit) const {
    const auto somaxconn = somaxconn_of(socket_.value(), netns_);
    if (!somaxconn) return std::unexpected(somaxconn.error());
    if (limit > *somaxconn || limit > std::numeric_limits<int>::max())
        return std::unexpected(Error{
            fmt::format("net.core.somaxconn of its network namespace is {}: {} would be cut to it", *somaxconn, limit),
            EAGAIN});
    // Last, as listen() would revive a socket that was shut down.
    if (const auto listens = check_listens(socket_.value()); !listens) return listens;
    if (::listen(socket_.value(), static_cast<int>(limit)) != 0) return system_failure(errno, "listen with {}", limit);
    return {};
}

} // namespace bpftune::actuators

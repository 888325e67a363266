// SPDX-License-Identifier: Apache-2.0
#include "actuators/object.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <string_view>
#include <vector>

#include <linux/capability.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sys/capabilities.hpp"
#include "sys/clock.hpp"
#include "sys/directory.hpp"
#include "sys/files.hpp"
#include "sys/inet_diag.hpp"
#include "sys/netns.hpp"
#include "sys/sockets.hpp"

namespace bpftune::actuators {
namespace {

template <class... Args> std::unexpected<Error> gone(fmt::format_string<Args...> format, Args&&... args) {
    return std::unexpected(Error{fmt::format(format, std::forward<Args>(args)...), ESTALE});
}

bool denied(const Error& error) { return error.code == EPERM || error.code == EACCES; }

// The duplicate if that descriptor is the very socket; ESTALE if it is anything else or not there.
Result<sys::Fd> fetch_if_same(const ListenerRef& ref, pid_t pid, int fd) {
    auto socket = sys::fetch_descriptor(pid, fd);
    if (!socket && socket.error().code != ESRCH && socket.error().code != EBADF && socket.error().code != EINVAL)
        return socket;
    if (!socket) return gone("{}", socket.error().message);
    const auto cookie = sys::socket_cookie(socket->value());
    if (cookie && *cookie == ref.cookie) return socket;
    return gone("descriptor {} of process {} is another one now", fd, pid);
}

// How far one is looked for: it is told apart from "gone" where that was not far enough.
struct Search {
    MonoTime deadline;
    std::size_t most = 0; // descriptors of each process, the lowest
};
constexpr Nanoseconds longest_search = ListeningSocket::longest_search;
constexpr Nanoseconds longest_look = ListeningSocket::longest_look;
constexpr std::size_t few_descriptors = 1024; // a server listens before it has clients
constexpr std::size_t most_descriptors = 65536;

Result<sys::Fd> fetch_by_inode(const ListenerRef& ref, pid_t pid, const Search& search) {
    const auto fd = sys::find_socket(pid, ref.inode, search.most, search.deadline);
    if (!fd && (denied(fd.error()) || fd.error().code == ETIME)) return std::unexpected(fd.error());
    if (!fd || !*fd) return gone("process {} does not hold it", pid);
    return fetch_if_same(ref, pid, **fd);
}

// Those of the listener's namespace first: others' many descriptors then take nothing of its time.
void those_of_namespace_first(std::vector<pid_t>& pids, const NetnsId& netns) {
    const std::string wanted = fmt::format("net:[{}]", netns.inode);
    std::ranges::stable_partition(pids, [&](pid_t pid) {
        std::array<char, 64> target{};
        const ssize_t size = ::readlink(fmt::format("/proc/{}/ns/net", pid).c_str(), target.data(), target.size());
        return size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)) == wanted;
    });
}

// The process that the hint names may have ended or passed the socket on.
Result<sys::Fd> fetch_from_any(const ListenerRef& ref, const NetnsId& netns, Search search) {
    auto pids = sys::numbered_entries("/proc");
    if (!pids) return std::unexpected(pids.error());
    those_of_namespace_first(*pids, netns);
    int hidden = 0;
    for (const std::size_t most : {few_descriptors, most_descriptors}) {
        search.most = most;
        hidden = 0;
        for (const pid_t pid : *pids) {
            auto socket = fetch_by_inode(ref, pid, search);
            if (socket || socket.error().code == ETIME) return socket;
            if (denied(socket.error())) ++hidden;
        }
    }
    // What is closed even to these rights is guarded by a security module: no pod.
    const bool all_rights = sys::has_capability(CAP_SYS_PTRACE) && sys::has_capability(CAP_DAC_READ_SEARCH);
    if (hidden == 0 || all_rights) return gone("no process holds the listening socket {} any more", ref.inode);
    return system_failure(EACCES,
                          "look for socket {}: {} processes do not show theirs (it takes CAP_SYS_PTRACE and "
                          "CAP_DAC_READ_SEARCH)",
                          ref.inode, hidden);
}

Result<sys::Fd> fetch_shown(const ListenerRef& ref, const NetnsId& netns) {
    const Search search{.deadline = sys::now().mono + longest_search, .most = most_descriptors};
    if (ref.pid > 0) {
        auto socket = fetch_if_same(ref, ref.pid, ref.fd);
        if (socket || socket.error().code != ESTALE) return socket;
        if (ref.inode != 0) socket = fetch_by_inode(ref, ref.pid, search);
        if (socket || socket.error().code != ESTALE) return socket;
    }
    if (ref.inode == 0) return gone("the listening socket is not where it was");
    return fetch_from_any(ref, netns, search);
}

// A cookie is never another socket's: a namespace that has the number of the listener's by now does not have it.
Result<bool> still_listens(const ListenerRef& ref, const Scope& scope) {
    const auto netns = sys::find_netns(scope.netns, {.pid = scope.netns_pid, .path = {}});
    if (!netns && netns.error().code == ESTALE) return false;
    if (!netns) return std::unexpected(netns.error());
    const auto inside = sys::NetnsGuard::enter(*netns);
    if (!inside) return std::unexpected(inside.error());
    return sys::listens_here(ref.cookie, sys::now().mono + longest_look);
}

// Only what the kernel does not list any more is gone: a descriptor may be where no process shows it.
Result<sys::Fd> fetch_socket(const ListenerRef& ref, const Scope& scope) {
    auto socket = fetch_shown(ref, scope.netns);
    if (socket || socket.error().code != ESTALE) return socket;
    const auto listens = still_listens(ref, scope);
    if (!listens)
        return with_context(listens.error(), "{}; whether it listens still is not known", socket.error().message);
    if (!*listens) return socket;
    return std::unexpected(Error{"it listens, but no process shows its descriptor: that is in flight over a socket, "
                                 "held by io_uring or the kernel itself, or of a process that a security module "
                                 "guards; left as it is",
                                 EBUSY});
}

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
    if (!scope.listener || scope.listener->cookie == 0) return failure("no listening socket is named");
    auto socket = fetch_socket(*scope.listener, scope);
    if (!socket) return std::unexpected(socket.error());
    const auto cookie = sys::netns_cookie(socket->value());
    if (!cookie) return std::unexpected(cookie.error());
    // 0: a kernel that tells this only inside; set() goes there.
    if (*cookie != scope.netns.cookie && *cookie != 0)
        return gone("the listening socket belongs to another network namespace");
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
            ERANGE});
    // Last, as listen() would revive a socket that was shut down.
    if (const auto listens = check_listens(socket_.value()); !listens) return listens;
    if (::listen(socket_.value(), static_cast<int>(limit)) != 0) return system_failure(errno, "listen with {}", limit);
    return {};
}

} // namespace bpftune::actuators

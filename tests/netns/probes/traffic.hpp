// SPDX-License-Identifier: Apache-2.0
// Small TCP traffic for tests, and patience: counters move a moment after the system call that moved them.
#pragma once

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns/namespace.hpp"
#include "probes/probes.hpp"
#include "sys/procfs.hpp"
#include "sys/sockets.hpp"

namespace bpftune::testing {

inline sockaddr_in address_of(const char* address, std::uint16_t port) {
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    ::inet_pton(AF_INET, address, &to.sin_addr);
    return to;
}

// Bound and listening, in the namespace of the calling thread.
inline sys::Fd listen_on(const char* address, std::uint16_t port, int backlog, int protocol = IPPROTO_TCP) {
    sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
    const sockaddr_in at = address_of(address, port);
    must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0, "bind");
    must(::listen(socket.value(), backlog) == 0, "listen");
    return socket;
}

// errno of the attempt: 0, or EINPROGRESS where the other side has not answered yet.
inline int connect_to(const sys::Fd& socket, const char* address, std::uint16_t port) {
    const sockaddr_in to = address_of(address, port);
    return ::connect(socket.value(), reinterpret_cast<const sockaddr*>(&to), sizeof to) == 0 ? 0 : errno;
}

// Clients of the calling thread's namespace that have asked to connect. On loopback each handshake is over, or has
// failed, when connect() returns.
// A UDP socket of this port; 0: of one that the kernel chooses.
inline sys::Fd datagram_socket(const char* address, std::uint16_t port) {
    sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_in at = address_of(address, port);
    if (::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) != 0) return {};
    return socket;
}

inline std::uint16_t port_of(const sys::Fd& socket) {
    sockaddr_in at{};
    socklen_t size = sizeof at;
    must(::getsockname(socket.value(), reinterpret_cast<sockaddr*>(&at), &size) == 0, "getsockname");
    return ntohs(at.sin_port);
}

inline std::vector<sys::Fd> clients(std::size_t count, const char* address, std::uint16_t port) {
    std::vector<sys::Fd> sockets;
    for (std::size_t i = 0; i < count; ++i) {
        sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        const int error = connect_to(sockets.back(), address, port);
        must(error == 0 || error == EINPROGRESS, "connect");
    }
    return sockets;
}

// Accepts all that wait; how many.
inline std::size_t accept_all(const sys::Fd& listener) {
    std::size_t count = 0;
    while (sys::Fd(::accept4(listener.value(), nullptr, nullptr, SOCK_CLOEXEC))) ++count;
    return count;
}

// Whether one of `events` (poll) comes.
inline bool await(const sys::Fd& socket, short events, int patience_ms = 5000) {
    pollfd awaited{.fd = socket.value(), .events = events, .revents = 0};
    return ::poll(&awaited, 1, patience_ms) == 1;
}

inline sys::Fd accept_one(const sys::Fd& listener) {
    must(await(listener, POLLIN), "wait for a connection");
    sys::Fd accepted(::accept4(listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
    must(static_cast<bool>(accepted), "accept");
    return accepted;
}

// One after the other, each closed by the client first, so that it is left with the TIME_WAIT: a server that closes
// before it has seen the client's FIN would have one too.
inline void connect_and_close(const Namespace& netns, const sys::Fd& listener, std::uint16_t port, std::size_t count) {
    netns.inside([&] {
        for (std::size_t i = 0; i < count; ++i) {
            auto connected = clients(1, "127.0.0.1", port);
            const sys::Fd accepted = accept_one(listener);
            connected.clear();
            must(await(accepted, POLLRDHUP), "wait for the client's FIN");
        }
    });
}

// Whether `done` becomes true while the clock runs on so far. What is waited for comes in milliseconds, but not on a
// machine that is emulated.
template <class Condition> bool within(std::chrono::seconds patience, Condition done) {
    const auto end = std::chrono::steady_clock::now() + patience;
    while (!done()) {
        if (std::chrono::steady_clock::now() > end) return false;
        ::poll(nullptr, 0, 10);
    }
    return true;
}
template <class Condition> bool eventually(Condition done) { return within(std::chrono::seconds(10), done); }
template <class Condition> bool comes_true(Condition done) { return within(std::chrono::seconds(60), done); }

// Fifty packets that a device puts into the backlog of one CPU at one go: it does not cut them itself. So often, as one
// flow.
inline void send_at_one_go(const Namespace& from, const char* address, std::uint16_t port, int times = 1) {
    shell("ip -n " + from.name() + " link set eth0 gso_max_segs 1");
    from.inside([&] {
        const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        constexpr int segment = 1000;
        must(::setsockopt(socket.value(), IPPROTO_UDP, UDP_SEGMENT, &segment, sizeof segment) == 0, "UDP_SEGMENT");
        const sockaddr_in to = address_of(address, port);
        const std::vector<char> large(50000);
        for (int i = 0; i < times; ++i)
            ::sendto(socket.value(), large.data(), large.size(), 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    });
}

inline void track_connections_here() {
    shell("nft 'add table ip t; add chain ip t c { type filter hook output priority 0; }; "
          "add rule ip t c ct state invalid drop'");
}
inline void track_connections(const Namespace& netns) {
    netns.inside([] { track_connections_here(); });
}

// One entry for each port.
inline void send_datagrams(const Namespace& netns, std::uint16_t first_port, std::uint16_t count) {
    netns.inside([&] {
        const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        const sockaddr_in from = address_of("127.0.0.1", 8999);
        must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&from), sizeof from) == 0, "bind");
        for (std::uint16_t i = 0; i < count; ++i) {
            const sockaddr_in to = address_of("127.0.0.1", static_cast<std::uint16_t>(first_port + i));
            ::sendto(socket.value(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
        }
    });
}

// Whether nobody used it; for a virtual machine, where that is nobody but the tests.
inline bool try_to_unload_conntrack() {
    return std::system("modprobe -r nft_ct nf_conntrack 2>/dev/null") == 0; // NOLINT(cert-env33-c)
}

// A namespace with rules for it goes a moment after its name.
inline void unload_conntrack() {
    must(comes_true([] { return try_to_unload_conntrack(); }), "unload nf_conntrack");
}

inline std::uint64_t cookie_of(const sys::Fd& socket) {
    std::uint64_t cookie = 0;
    socklen_t size = sizeof cookie;
    must(::getsockopt(socket.value(), SOL_SOCKET, SO_COOKIE, &cookie, &size) == 0, "SO_COOKIE");
    return cookie;
}

// While it lasts the last ACKs of handshakes are lost: clients believe to be connected, and what they send later brings
// them all at once. `flags`: of the segments that are lost instead.
class LostLastAcks {
public:
    explicit LostLastAcks(const Namespace& netns, const std::string& flags = "(syn|ack) == ack")
        : nft_("ip netns exec " + netns.name() + " nft ") {
        shell(nft_ +
              "'add table inet lost; add chain inet lost c { type filter hook input priority 0; }; "
              "add rule inet lost c tcp flags & " +
              flags + " drop'");
    }
    LostLastAcks(const LostLastAcks&) = delete;
    LostLastAcks& operator=(const LostLastAcks&) = delete;
    ~LostLastAcks() {
        [[maybe_unused]] const int status = std::system((nft_ + "delete table inet lost 2>/dev/null").c_str());
    }

    void end() const { shell(nft_ + "delete table inet lost"); }

private:
    std::string nft_;
};

inline std::uint64_t netstat(const Namespace& netns, const char* name) {
    return sys::netstat_value(netns.read("net/netstat"), "TcpExt", name).value_or(0);
}

// Whether what was seen in `seen` was in the test's `netns`. Others make namespaces meanwhile, of which an earlier one
// may have had its inode.
inline bool is_in(const NetnsId& seen, const Namespace& netns) {
    if (seen.inode != netns.inode()) return false;
    const std::uint64_t cookie = netns.inside([] {
        const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        return sys::netns_cookie(socket.value()).value_or(0);
    });
    return seen.cookie == 0 || cookie == 0 || seen.cookie == cookie;
}

template <class T> const NetnsId& netns_of(const T& seen) { return seen.netns; }
inline const NetnsId& netns_of(const probes::ListenEvent& event) { return event.listener.netns; }

// Of the test's namespace alone.
template <class T> std::vector<T> seen_in(std::vector<T> all, const Namespace& netns) {
    std::erase_if(all, [&](const T& one) { return !is_in(netns_of(one), netns); });
    return all;
}

// Of the whole node.
inline std::vector<probes::ListenerReading> listeners_of(probes::Probes& probes) {
    return probes.listeners(probes.namespaces().value()).value();
}

inline probes::ListenerReading listener_of(probes::Probes& probes, const Namespace& netns, std::uint16_t port) {
    const auto listeners = seen_in(listeners_of(probes), netns);
    for (const auto& listener : listeners)
        if (listener.local.port == port) return listener;
    throw std::runtime_error("no such listener in the census");
}

inline probes::NetnsReading reading_of(probes::Probes& probes, const Namespace& netns) {
    const auto readings = seen_in(probes.namespaces().value(), netns);
    if (!readings.empty()) return readings.front();
    throw std::runtime_error("no such namespace in the reading");
}

// Of the whole node.
template <class T> std::vector<T> events_of(probes::Probes& probes) {
    std::vector<T> found;
    probes.drain([&](const probes::Event& event) {
        if (const auto* wanted = std::get_if<T>(&event)) found.push_back(*wanted);
    });
    return found;
}

template <class T> std::vector<T> events_of(probes::Probes& probes, const Namespace& netns) {
    return seen_in(events_of<T>(probes), netns);
}

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// Rungs side by side under the same traffic, and beside the kernel's own counters.
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <iterator>
#include <optional>

#include <netinet/tcp.h>

#include "netns/rungs.hpp"
#include "traffic.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;

namespace {

// One of several listeners of a namespace, and how its clients reach it.
struct Server {
    const char* address;
    const char* reached_by; // as an IPv6 socket says it
    std::uint16_t port;
    int backlog;
};

constexpr std::array servers{
    Server{"::ffff:127.0.0.1", "::ffff:127.0.0.1", 8080, 4}, // an IPv6 socket that talks IPv4 alone
    Server{"::1", "::1", 8081, 2},
    Server{"::", "::ffff:127.0.0.1", 8082, 7},
    Server{"::", "::1", 8083, 1},
};

sockaddr_in6 address6(const char* address, std::uint16_t port) {
    sockaddr_in6 to{};
    to.sin6_family = AF_INET6;
    to.sin6_port = htons(port);
    must(::inet_pton(AF_INET6, address, &to.sin6_addr) == 1, "inet_pton");
    return to;
}

sys::Fd listen_on(const Server& server) {
    sys::Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_in6 at = address6(server.address, server.port);
    must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0, "bind");
    must(::listen(socket.value(), server.backlog) == 0, "listen");
    return socket;
}

// nullopt: the SYN was dropped. Nothing is sent again: what did not connect in time is closed.
std::optional<sys::Fd> connected_to(const Server& server) {
    sys::Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const sockaddr_in6 to = address6(server.reached_by, server.port);
    static_cast<void>(::connect(socket.value(), reinterpret_cast<const sockaddr*>(&to), sizeof to));
    pollfd waiting{.fd = socket.value(), .events = POLLOUT, .revents = 0};
    if (::poll(&waiting, 1, 50) != 1) return std::nullopt;
    return socket;
}

std::vector<sys::Fd> connect_often(const Namespace& netns, const Server& server, int times) {
    return netns.inside([&] {
        std::vector<sys::Fd> connected;
        for (int i = 0; i < times; ++i)
            if (auto socket = connected_to(server)) connected.push_back(std::move(*socket));
        return connected;
    });
}

// By a reset, after which the other side waits for nothing.
void abort(std::vector<sys::Fd>& sockets) {
    constexpr linger now{.l_onoff = 1, .l_linger = 0};
    for (const sys::Fd& socket : sockets) ::setsockopt(socket.value(), SOL_SOCKET, SO_LINGER, &now, sizeof now);
    sockets.clear();
}

std::vector<sys::Fd> listeners_in(const Namespace& netns) {
    return netns.inside([] {
        std::vector<sys::Fd> sockets;
        for (const Server& server : servers) sockets.push_back(listen_on(server));
        return sockets;
    });
}

// Probes on one rung of `listen`; nullopt, said aloud: it cannot be had here.
std::optional<Probes> open_on(Rung rung) {
    auto probes = Probes::open({.rungs = {{Probe::listen, rung}}});
    if (probes.rung(Probe::listen) == rung) return probes;
    WARN("no " << to_string(rung) << " here: " << probes.as_asked().error().message);
    return std::nullopt;
}

std::uint64_t arrivals_at(Probes& probes, const Namespace& netns, std::uint16_t port) {
    std::uint64_t sum = 0;
    const auto queues = seen_in(probes.queues().value(), netns);
    for (const QueueReading& queue : queues)
        if (queue.local.port == port) sum += queue.arrivals;
    return sum;
}

std::uint64_t overflows_of(Probes& probes, const Namespace& netns, std::uint16_t port) {
    return listener_of(probes, netns, port).overflows.value();
}

} // namespace

TEST_CASE("several listeners that SYNs overflow at once: both rungs and the kernel count the same") {
    auto by_fentry = open_on(Rung::fentry);
    auto by_tracepoint = open_on(Rung::tracepoint);
    if (!by_fentry || !by_tracepoint) return;
    const Namespace netns;
    netns.write("sys/net/ipv4/tcp_syncookies", GENERATE("0", "1", "2"));
    const auto sockets = listeners_in(netns);
    constexpr std::uint64_t rounds = 20;
    std::vector<sys::Fd> connected;
    netns.inside([&] {
        for (std::uint64_t round = 0; round < rounds; ++round)
            for (const Server& server : servers)
                if (auto socket = connected_to(server)) connected.push_back(std::move(*socket));
    });

    std::uint64_t sum = 0;
    for (const Server& server : servers) {
        const auto taken = static_cast<std::uint64_t>(server.backlog) + 1;
        const auto listener = listener_of(*by_tracepoint, netns, server.port);
        const auto overflows = overflows_of(*by_fentry, netns, server.port);
        CHECK(overflows >= rounds - taken); // more where a machine is so slow that SYNs were sent again
        CHECK(overflows == listener.drops - listener.last_ack_overflows);
        CHECK(arrivals_at(*by_fentry, netns, server.port) == taken);
        CHECK(arrivals_at(*by_tracepoint, netns, server.port) == taken);
        sum += overflows;
    }
    CHECK(sum == netstat(netns, "ListenOverflows"));
}

TEST_CASE("overflows by last ACKs, with and without a cookie, are each counted for its listener") {
    auto by_fentry = open_on(Rung::fentry);
    auto by_tracepoint = open_on(Rung::tracepoint);
    if (!by_fentry || !by_tracepoint) return;
    const Namespace netns;
    const auto* const syncookies = GENERATE("0", "1", "2");
    netns.write("sys/net/ipv4/tcp_syncookies", syncookies);
    const auto sockets = listeners_in(netns);

    // One listener after the other, so that the kernel's one counter says whose they are.
    std::uint64_t before = 0;
    for (const Server& server : servers) {
        CAPTURE(syncookies, server.port);
        auto early = connect_often(netns, server, server.backlog); // one place is left
        const LostLastAcks lost(netns);
        auto late = connect_often(netns, server, 12);
        lost.end();
        REQUIRE(late.size() > 1);
        for (const sys::Fd& client : late) static_cast<void>(::send(client.value(), "x", 1, MSG_NOSIGNAL));
        CHECK(eventually([&] { return netstat(netns, "ListenOverflows") >= before + late.size() - 1; }));
        abort(late);
        const auto after = netstat(netns, "ListenOverflows");
        CHECK(overflows_of(*by_fentry, netns, server.port) == after - before);
        CHECK(arrivals_at(*by_fentry, netns, server.port) == arrivals_at(*by_tracepoint, netns, server.port));
        before = after;
    }
}

TEST_CASE("last ACKs that overflow several listeners at once add up to the kernel's count") {
    auto probes = open_on(Rung::fentry);
    if (!probes) return;
    const Namespace netns;
    const auto sockets = listeners_in(netns);
    const LostLastAcks lost(netns);
    std::vector<sys::Fd> clients;
    for (const Server& server : servers) {
        auto some = connect_often(netns, server, 12);
        std::ranges::move(some, std::back_inserter(clients));
    }
    lost.end();
    for (const sys::Fd& client : clients) static_cast<void>(::send(client.value(), "x", 1, MSG_NOSIGNAL));
    const auto overflows = [&](const Server& server) { return overflows_of(*probes, netns, server.port); };
    CHECK(eventually([&] { return std::ranges::all_of(servers, overflows); }));
    abort(clients);
    std::uint64_t sum = 0;
    for (const Server& server : servers) sum += overflows(server);
    CHECK(sum == netstat(netns, "ListenOverflows"));
}

TEST_CASE("listeners that share a port have arrivals and overflows of their own") {
    auto probes = open_on(Rung::fentry);
    if (!probes) return;
    const Namespace netns;
    const Server shared{"::", "::1", 8080, 3};
    std::vector<sys::Fd> group;
    netns.inside([&] {
        for (int i = 0; i < 3; ++i) {
            constexpr int on = 1;
            sys::Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            ::setsockopt(socket.value(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on);
            const sockaddr_in6 at = address6(shared.address, shared.port);
            must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0, "bind");
            must(::listen(socket.value(), shared.backlog) == 0, "listen");
            group.push_back(std::move(socket));
        }
    });
    std::vector<sys::Fd> connected;
    netns.inside([&] {
        for (int i = 0; i < 60; ++i)
            if (auto socket = connected_to(shared)) connected.push_back(std::move(*socket));
    });

    const auto queues = probes->queues().value();
    const auto listeners = listeners_of(*probes);
    std::uint64_t overflows = 0;
    for (const sys::Fd& socket : group) {
        const std::uint64_t cookie = cookie_of(socket);
        const auto queue = std::ranges::find(queues, cookie, &QueueReading::cookie);
        const auto listener = std::ranges::find(listeners, cookie, &ListenerReading::cookie);
        REQUIRE(queue != queues.end());
        REQUIRE(listener != listeners.end());
        CHECK(queue->arrivals == accept_all(socket));
        overflows += listener->overflows.value();
    }
    CHECK(overflows == 60 - connected.size());
    CHECK(overflows == netstat(netns, "ListenOverflows"));
}

TEST_CASE("ACKs that are no last ACKs are no overflows") {
    auto probes = open_on(Rung::fentry);
    if (!probes) return;
    const Namespace netns;
    const Server server{"::1", "::1", 8080, 4};
    const auto listener = netns.inside([&] { return listen_on(server); });
    SECTION("one whose connection waits for data") {
        constexpr int seconds = 10;
        must(::setsockopt(listener.value(), IPPROTO_TCP, TCP_DEFER_ACCEPT, &seconds, sizeof seconds) == 0, "defer");
        const auto deferred = netns.inside([&] { return connected_to(server); });
        CHECK(netstat(netns, "TCPDeferAcceptDrop") == 1);
    }
    SECTION("a SYN that is sent again") {
        const LostLastAcks lost(netns, "(syn|ack) == (syn|ack)");
        const auto waiting = netns.inside([&] {
            sys::Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            const sockaddr_in6 to = address6(server.reached_by, server.port);
            static_cast<void>(::connect(socket.value(), reinterpret_cast<const sockaddr*>(&to), sizeof to));
            return socket;
        });
        CHECK(eventually([&] { return netstat(netns, "TCPSynRetrans") > 0; }));
    }
    CHECK(netstat(netns, "ListenOverflows") == 0);
    CHECK(overflows_of(*probes, netns, server.port) == 0);
}

TEST_CASE("a queue that was full before the probe came is announced by the SYN that it drops") {
    const Namespace netns;
    const Server server{"::", "::1", 8080, 2};
    const auto listener = netns.inside([&] { return listen_on(server); });
    std::vector<sys::Fd> waiting;
    netns.inside([&] {
        for (int i = 0; i < 3; ++i) waiting.push_back(connected_to(server).value());
    });
    auto probes = open_on(Rung::fentry);
    if (!probes) return;
    CHECK_FALSE(netns.inside([&] { return connected_to(server); }).has_value());

    const auto events = events_of<PressureEvent>(*probes, netns);
    REQUIRE(events.size() == 1);
    CHECK(events[0].cookie == cookie_of(listener));
    CHECK(events[0].local == Endpoint{"::", server.port});
    CHECK(events[0].depth == 3);
    CHECK(events[0].limit == 2);
    CHECK(events[0].busy_arrivals == 0);
    CHECK(events[0].busy_since == MonoTime{}); // nobody knows since when
    CHECK(overflows_of(*probes, netns, server.port) == 1);
}

TEST_CASE("handshakes under way are those of the fullest moment in the epoch") {
    auto probes = open_on(Rung::fentry);
    if (!probes) return;
    const Namespace netns;
    const Server server{"::1", "::1", 8080, 64};
    const auto listener = netns.inside([&] { return listen_on(server); });
    const auto syn_peak = [&] {
        const auto queues = probes->queues().value();
        return std::ranges::find(queues, cookie_of(listener), &QueueReading::cookie)->epoch_syn_peak;
    };
    const auto one_by_one = netns.inside([&] { return std::array{connected_to(server), connected_to(server)}; });
    CHECK(syn_peak() == 1);
    CHECK_FALSE(syn_peak().has_value()); // no SYN came since
    const LostLastAcks lost(netns);
    const auto half_open =
        netns.inside([&] { return std::array{connected_to(server), connected_to(server), connected_to(server)}; });
    CHECK(syn_peak() == 3);
}

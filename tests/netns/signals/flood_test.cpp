// SPDX-License-Identifier: Apache-2.0
// Floods as the kernel makes them of real packets.
#include <catch2/catch.hpp>

#include "netns/host_sysctl.hpp"
#include "netns/probes/traffic.hpp"
#include "sys/sockets.hpp"
#include "watcher.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

constexpr std::uint16_t port = 8080;

// On a slow machine packets are on their way when the call that sent them returns.
void await_waiting(const sys::Fd& listener, std::uint32_t count) {
    REQUIRE(comes_true([&] { return sys::accept_queue(listener.value()).value().length == count; }));
}
void await_counted(const Namespace& netns, const char* name, std::uint64_t count) {
    REQUIRE(comes_true([&] { return netstat(netns, name) >= count; }));
}

template <class Row> const Row& row_of(const std::vector<Row>& rows, const Namespace& netns) {
    const auto row = std::ranges::find(rows, netns.inode(), [](const Row& each) { return each.netns.inode; });
    REQUIRE(row != rows.end());
    return *row;
}

} // namespace

TEST_CASE("SYNs whose handshakes are never completed are a flood from the second look on, as the kernel counts them") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/tcp_syncookies", "1");
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 8); });
    Watcher watcher(1s);
    (void)watcher.look();
    const LostLastAcks lost(netns);
    std::vector<std::vector<sys::Fd>> half_open;
    const auto second_of_flood = [&] {
        half_open.push_back(netns.inside([] { return clients(200, "127.0.0.1", port); }));
        await_counted(netns, "SyncookiesSent", 180 * half_open.size());
        const Snapshot snapshot = watcher.look();
        return row_of(snapshot.tcp, netns);
    };
    CHECK_FALSE(second_of_flood().flood);
    const NetnsTcp flooded = second_of_flood();
    REQUIRE(flooded.flood);
    CHECK(flooded.flood->find("SYN cookies/s, 0/s came back") != std::string::npos);
    CHECK(flooded.cookies_sent >= 2 * 180);
    CHECK(flooded.cookies_sent <= netstat(netns, "SyncookiesSent"));
    CHECK(flooded.cookies_returned == 0);
    CHECK(netstat(netns, "ListenOverflows") == 0); // the accept queue has room
    const Snapshot snapshot = watcher.look();      // a calm second: clients repeat only what the server repeats
    CHECK(row_of(snapshot.listeners, netns).window.overflows == 0);
}

TEST_CASE("cookies that real clients bring back are no flood, however many") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/tcp_syncookies", "2"); // for every SYN
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 1024); });
    Watcher watcher(1s);
    (void)watcher.look();
    for (int i = 0; i < 3; ++i) {
        const auto connected = netns.inside([] { return clients(300, "127.0.0.1", port); });
        await_waiting(listener, 300);
        CHECK(accept_all(listener) == 300);
        const Snapshot snapshot = watcher.look();
        const NetnsTcp& row = row_of(snapshot.tcp, netns);
        CHECK_FALSE(row.flood);
        CHECK(row.cookies_sent == netstat(netns, "SyncookiesSent"));
        CHECK(row.cookies_returned == netstat(netns, "SyncookiesRecv"));
        CHECK(row.cookies_returned == 300U * static_cast<unsigned>(i + 1));
    }
}

TEST_CASE("a server that accepts next to nothing of what comes is flooded, one that accepts none at all hangs") {
    const bool hangs = GENERATE(false, true);
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 8); });
    Watcher watcher(1s);
    if (is_blind(watcher.probes().sees_arrivals(), "arrivals")) return;
    const auto waiting = netns.inside([] { return clients(9, "127.0.0.1", port); });
    (void)watcher.look_until(netns, [](const Listener& row) { return row.queue == 9; });
    const auto refused = netns.inside([] { return clients(300, "127.0.0.1", port); });
    await_counted(netns, "ListenOverflows", 300);
    if (!hangs) CHECK(sys::Fd(::accept4(listener.value(), nullptr, nullptr, SOCK_CLOEXEC)));
    const Listener row = watcher.look_until(netns, [](const Listener& each) { return each.window.overflows > 0; });
    CHECK(row.window.overflows >= 300);
    REQUIRE(row.flood.has_value() != hangs);
    if (!hangs) CHECK(row.flood->ends_with("/s accepted"));
}

TEST_CASE("a table that may be raised is looked at, and one that nobody answers is flooded") {
    if (open_probes().rung(Probe::conntrack) == Rung::none) return; // a kernel without it
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns);
    const auto send = [&](std::uint16_t first, std::uint16_t count) {
        netns.inside([&] {
            const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            for (std::uint16_t i = 0; i < count; ++i) {
                const sockaddr_in to = address_of("127.0.0.1", static_cast<std::uint16_t>(first + i));
                ::sendto(socket.value(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
            }
        });
    };
    Watcher watcher(1s);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 512); });
    const auto established = netns.inside([] { return clients(200, "127.0.0.1", port); });
    {
        const HostSysctl large("/proc/sys/net/netfilter/nf_conntrack_max", 100000);
        (void)watcher.look();
        const Snapshot calm = watcher.look();
        CHECK_FALSE(row_of(calm.conntrack, netns).unanswered_ratio); // far from full, and not growing
    }
    const HostSysctl small("/proc/sys/net/netfilter/nf_conntrack_max", 1000);
    send(9000, 300);
    const Snapshot half = watcher.look(); // 500 of 1,000
    CHECK(row_of(half.conntrack, netns).unanswered_ratio == 0.6);
    CHECK(row_of(half.conntrack, netns).seen_once); // whether it is these that come is not known
    CHECK_FALSE(row_of(half.conntrack, netns).flood);
    send(9300, 100);
    const Snapshot more = watcher.look();
    CHECK(row_of(more.conntrack, netns).flood ==
          "400 of 600 entries looked at are unanswered, most of them UDP to 400 ports (a scan)");
    const auto others = netns.inside([] { return clients(100, "127.0.0.1", port); });
    const Snapshot answered = watcher.look();
    CHECK(row_of(answered.conntrack, netns).unanswered == "UDP to 400 ports (a scan)");
    CHECK_FALSE(row_of(answered.conntrack, netns).flood);
}

// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <filesystem>

#include "netns/rungs.hpp"
#include "traffic.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;

namespace {

constexpr std::uint16_t port = 8080;

std::uint64_t inode_of(const Process& process, int fd) {
    struct stat info{};
    must(::stat(fmt::format("/proc/{}/fd/{}", process.pid(), fd).c_str(), &info) == 0, "stat descriptor");
    return info.st_ino;
}

bool of_netns(const std::vector<NetnsId>& namespaces, const Namespace& netns) {
    return std::ranges::any_of(namespaces, [&](const NetnsId& id) { return is_in(id, netns); });
}

// Clients whose last ACKs are lost: they believe to be connected, and their data then brings them all at once.
std::vector<sys::Fd> late_acks(const Namespace& netns, std::size_t count) {
    const LostLastAcks lost(netns);
    auto connected = netns.inside([&] { return clients(count, "127.0.0.1", port); });
    lost.end();
    for (const auto& client : connected) CHECK(::send(client.value(), "x", 1, MSG_NOSIGNAL) == 1);
    return connected;
}

// The listener's part of ListenOverflows, as far as its rung knows it.
std::uint64_t overflows_of(const ListenerReading& listener) {
    return listener.overflows.value_or(listener.drops - listener.last_ack_overflows);
}

} // namespace

TEST_CASE("the census names a listener's holder, descriptor, limit and wish") {
    auto probes = open_probes();
    REQUIRE(probes.rung(Probe::listen) != Rung::none);
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "300");
    const Process server(netns, [] { return static_cast<std::uint64_t>(listen_on("0.0.0.0", port, 511).release()); });
    const int fd = static_cast<int>(server.value());

    const auto listener = listener_of(probes, netns, port);
    CHECK(listener.pid == server.pid());
    CHECK(listener.fd == fd);
    CHECK(listener.inode == inode_of(server, fd));
    CHECK(listener.local.address == "0.0.0.0");
    CHECK(listener.limit == 300);
    CHECK(listener.queue == 0);
    CHECK(listener.drops == 0);
    CHECK_FALSE(listener.reuseport);
    CHECK(listener.netns.cookie != 0);
    if (!is_blind(probes.sees_arrivals(), "what listen() asked for")) CHECK(listener.asked == 511);

    const auto tcp = reading_of(probes, netns);
    CHECK(tcp.netns == listener.netns);
    CHECK(tcp.pid == server.pid());
    CHECK(tcp.somaxconn == 300);
}

TEST_CASE("a listener that is older than the probe has an unknown wish") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; }); // by which every rung finds the namespace
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 7); });
    auto probes = open_probes();
    const auto found = listener_of(probes, netns, port);
    CHECK(found.limit == 7);
    CHECK_FALSE(found.asked.has_value());
    CHECK(found.local.address == "127.0.0.1");
}

TEST_CASE("an MPTCP listener is counted with the queue of the subflow that takes its connections") {
    if (!std::filesystem::exists("/proc/sys/net/mptcp")) {
        WARN("this kernel has no MPTCP");
        return;
    }
    auto probes = open_probes();
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; }); // by which every rung finds the namespace
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 7, IPPROTO_MPTCP); });
    const auto waiting = netns.inside([] { return clients(9, "127.0.0.1", port); });
    const auto found = listener_of(probes, netns, port);
    CHECK(found.pid == ::getpid());
    CHECK(found.fd == listener.value());
    CHECK(found.limit == 7);
    CHECK(found.queue == 8);
    if (!is_blind(probes.sees_arrivals(), "what listen() asked for")) CHECK(found.asked == 7);
    // The client that found no place repeats itself: between two readings the count may move.
    CHECK(eventually(
        [&] { return overflows_of(listener_of(probes, netns, port)) == reading_of(probes, netns).listen_overflows; }));
    CHECK(found.cookie == cookie_of(listener));
    if (probes.sees_arrivals()) CHECK(found.queue_cookie != found.cookie);
}

TEST_CASE("a socket held by several processes is one listener, of the lowest pid") {
    auto probes = open_probes();
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; }); // by which every rung finds the namespace
    const auto socket = netns.inside([] { return listen_on("0.0.0.0", port, 7); });
    const Process heir([] { return std::uint64_t{0}; });
    const auto all = listeners_of(probes);
    CHECK(std::ranges::count(all, netns.inode(), [](const auto& one) { return one.netns.inode; }) == 1);
    CHECK(listener_of(probes, netns, port).pid == std::min(::getpid(), heir.pid()));
}

TEST_CASE("a namespace that has a listener but no task is read as well") {
    auto probes = open_probes();
    if (is_blind(probes.rung(Probe::time_wait) != Rung::procfs, "namespaces without a process")) return;
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "123");
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 7); });
    // The thread that was inside may be joined and yet not gone.
    CHECK(eventually([&] { return !listeners_of(probes).empty() && reading_of(probes, netns).pid == 0; }));
    CHECK(reading_of(probes, netns).somaxconn == 123);
}

TEST_CASE("a socket that begins to listen is announced with the arguments of the call") {
    auto probes = open_probes();
    if (is_blind(probes.sees_arrivals(), "calls of listen()")) return;
    const Namespace netns;
    const Process server(netns, [] { return static_cast<std::uint64_t>(listen_on("127.0.0.1", port, -1).release()); });
    std::vector<ListenEvent> events = events_of<ListenEvent>(probes, netns);
    std::erase_if(events, [&](const ListenEvent& event) { return event.listener.netns.inode != netns.inode(); });
    REQUIRE(events.size() == 1);
    const auto& listener = events[0].listener;
    CHECK(listener.pid == server.pid());
    CHECK(listener.fd == static_cast<int>(server.value()));
    CHECK(listener.inode == inode_of(server, listener.fd));
    CHECK(listener.cookie == listener_of(probes, netns, port).cookie);
    CHECK(listener.local == Endpoint{"127.0.0.1", port});
    CHECK(listener.asked == 0xffffffffU); // -1 asks for all that somaxconn allows
    CHECK(listener.limit == 4096);
}

TEST_CASE("whoever listens without end is announced so often, the rest is withheld and counted", "[any-kernel][loud]") {
    constexpr std::uint64_t calls = 4000;
    constexpr std::size_t most = 3000; // in a second, of one namespace
    auto probes = open_probes();
    if (is_blind(probes.sees_arrivals(), "calls of listen()")) return;
    // Counted of all that run here: another test that does the same meanwhile is counted along.
    CHECK(comes_true([&] {
        const Namespace netns;
        const std::uint64_t withheld = probes.withheld_events(), lost = probes.lost_events();
        netns.inside([] {
            for (std::uint64_t i = 0; i < calls; ++i) listen_on("127.0.0.1", port, 7);
        });
        const auto events = events_of<ListenEvent>(probes, netns);
        return events.size() == most && probes.withheld_events() - withheld == calls - most &&
               probes.lost_events() == lost;
    }));
    // What is withheld is found all the same, with its wish.
    const Namespace netns;
    const auto kept = netns.inside([] {
        for (std::uint64_t i = 0; i < calls; ++i) listen_on("127.0.0.1", port, 7);
        return listen_on("127.0.0.1", port, 9);
    });
    (void)events_of<ListenEvent>(probes);
    CHECK(listener_of(probes, netns, port).asked == 9);
}

TEST_CASE("queues without end under pressure are announced so often, and those of others all the same", "[loud]") {
    constexpr std::size_t most = 600; // in a second, of one namespace; 2,000 of all
    auto probes = open_probes({.fills_at_once = Nanoseconds{0}, .event_interval = Nanoseconds{1}});
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const std::array<Namespace, 4> many;
    const Namespace one;
    std::uint16_t at = port; // another one each time: that of the last is taken until its connections are over
    const auto under_pressure = [&at](const Namespace& netns, std::size_t times) {
        netns.inside([&] {
            const auto listener = listen_on("127.0.0.1", at, 4);
            const auto waiting = clients(3, "127.0.0.1", at); // of which the third is announced
            for (std::size_t i = 1; i < times; ++i) {
                const auto next = clients(1, "127.0.0.1", at);
                const sys::Fd accepted = accept_one(listener);
            }
        });
    };
    CHECK(comes_true([&] {
        ++at;
        const std::uint64_t withheld = probes.withheld_events(), lost = probes.lost_events();
        for (const Namespace& netns : many) under_pressure(netns, most + 100);
        under_pressure(one, 10);
        const auto events = events_of<PressureEvent>(probes);
        return seen_in(events, many[0]).size() == most && seen_in(events, many[3]).size() < most &&
               seen_in(events, one).size() == 10 &&
               probes.withheld_events() - withheld == 4 * (most + 100) + 10 - events.size() &&
               probes.lost_events() == lost;
    }));
}

TEST_CASE("the wish of a listener stays though more have come and gone meanwhile than there is room for", "[loud]") {
    constexpr int others = 17'000; // MAX_LISTENERS and some
    auto probes = open_probes();
    if (is_blind(probes.sees_arrivals(), "calls of listen()")) return;
    const Namespace netns;
    const auto kept = netns.inside([] {
        auto listener = listen_on("127.0.0.1", port, 9);
        for (int i = 0; i < others; ++i) listen_on("127.0.0.1", port + 1, 7);
        return listener;
    });
    CHECK(listener_of(probes, netns, port).asked == 9);
}

TEST_CASE("IPv6 listeners and the IPv4 connections that they take have addresses of their kind") {
    auto probes = open_probes();
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; }); // by which every rung finds the namespace
    const auto listener = netns.inside([] {
        sys::Fd socket(::socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
        sockaddr_in6 at{};
        at.sin6_family = AF_INET6;
        at.sin6_port = htons(port);
        must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0, "bind");
        must(::listen(socket.value(), 8) == 0, "listen");
        return socket;
    });
    const auto connected = netns.inside([] { return clients(1, "127.0.0.1", port); });
    CHECK(listener_of(probes, netns, port).local.address == "::");
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const auto queues = seen_in(probes.queues().value(), netns);
    REQUIRE(queues.size() == 1);
    const bool by_listener = queues[0].cookie != 0;
    CHECK(queues[0].local == Endpoint{by_listener ? "::" : "127.0.0.1", port});
    CHECK(queues[0].limit == 8);
}

TEST_CASE("the bytes of a process name come through raw") {
    auto probes = open_probes();
    const Namespace netns;
    constexpr auto name = "\xff\x1b[31m\"\\\n'\x80";
    const Process server(netns, [] {
        ::prctl(PR_SET_NAME, name);
        return static_cast<std::uint64_t>(listen_on("127.0.0.1", port, 1).release());
    });
    CHECK(listener_of(probes, netns, port).command == name);
}

// What fills fast is announced earlier, and how fast a test fills a queue is the machine's matter.
constexpr Nanoseconds never{0};

TEST_CASE("a queue under pressure is announced before the first drop") {
    auto probes = open_probes({.fills_at_once = never});
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const Namespace netns;
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    const auto half = netns.inside([] { return clients(32, "127.0.0.1", port); });
    CHECK(events_of<PressureEvent>(probes, netns).empty());
    const auto more = netns.inside([] { return clients(1, "127.0.0.1", port); });

    pollfd waiting{.fd = probes.event_fd(), .events = POLLIN, .revents = 0};
    CHECK(::poll(&waiting, 1, 1000) == 1);
    const auto events = events_of<PressureEvent>(probes, netns);
    REQUIRE(events.size() == 1);
    CHECK(events[0].depth == 33);
    CHECK(events[0].limit == 64);
    CHECK(events[0].local == Endpoint{"127.0.0.1", port});
    CHECK(events[0].busy_arrivals == 33);
    CHECK(events[0].busy_since < events[0].time);
    CHECK(netstat(netns, "ListenOverflows") == 0);
    CHECK(probes.lost_events() == 0);
}

TEST_CASE("a queue that would be full at once is announced at a quarter, and again at half") {
    auto probes = open_probes({.fills_at_once = std::chrono::hours(1), .event_interval = std::chrono::hours(1)});
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const Namespace netns;
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    const auto connected = netns.inside([] { return clients(33, "127.0.0.1", port); });
    const auto events = events_of<PressureEvent>(probes, netns);
    REQUIRE(events.size() == 2);
    CHECK(events[0].depth == 17);
    CHECK(events[1].depth == 33);
}

TEST_CASE("a queue that stays under pressure is announced once per interval") {
    auto probes = open_probes({.fills_at_once = never, .event_interval = std::chrono::hours(1)});
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const Namespace netns;
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 16); });
    const auto connected = netns.inside([] { return clients(17, "127.0.0.1", port); });
    const auto events = events_of<PressureEvent>(probes, netns).size(); // of nine that may have been
    CHECK(events >= 1);
    CHECK(events <= 2); // two CPUs at once
}

TEST_CASE("past half of a limit that was raised meanwhile it is announced at once, by a quarter at least") {
    auto probes = open_probes({.fills_at_once = never, .event_interval = std::chrono::hours(1)});
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const Namespace netns;
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 16); });
    std::vector<std::vector<sys::Fd>> connected;
    const auto more = [&](std::size_t count) {
        connected.push_back(netns.inside([&] { return clients(count, "127.0.0.1", port); }));
        return events_of<PressureEvent>(probes, netns);
    };
    const std::size_t first = more(17).size();
    CHECK(first >= 1);
    CHECK(first <= 2); // two CPUs at once
    must(::listen(listener.value(), 40) == 0, "listen again");
    CHECK(more(3).empty()); // half of it
    const auto events = more(5);
    REQUIRE(events.size() == 1);
    CHECK(events[0].depth == 21);
    CHECK(events[0].limit == 40);
    must(::listen(listener.value(), 49) == 0, "listen again");
    CHECK(more(5).empty());
}

TEST_CASE("peak, floor and arrivals are those of the epoch") {
    auto probes = open_probes();
    if (is_blind(probes.sees_arrivals(), "arrivals")) return;
    const Namespace netns;
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    const auto first = netns.inside([] { return clients(10, "127.0.0.1", port); });
    auto queues = seen_in(probes.queues().value(), netns);
    REQUIRE(queues.size() == 1);
    CHECK(queues[0].arrivals == 10);
    CHECK(queues[0].epoch_arrivals == 10);
    CHECK(queues[0].epoch_peak == 10);
    CHECK(queues[0].epoch_floor == 0);

    const auto second = netns.inside([] { return clients(3, "127.0.0.1", port); });
    queues = seen_in(probes.queues().value(), netns);
    CHECK(queues[0].arrivals == 13);
    CHECK(queues[0].epoch_arrivals == 3);
    CHECK(queues[0].epoch_peak == 13);
    CHECK(queues[0].epoch_floor == 10);

    CHECK(accept_all(listener) == 13);
    queues = seen_in(probes.queues().value(), netns);
    CHECK(queues[0].arrivals == 13);
    CHECK(queues[0].epoch_arrivals == 0);
    CHECK(queues[0].epoch_peak == 0);
}

TEST_CASE("whoever is met at ever new addresses takes no queue from others, and what came there is unknown",
          "[any-kernel][loud]") {
    auto probes = Probes::open({.rungs = {{Probe::listen, Rung::tracepoint}}});
    if (probes.rung(Probe::listen) != Rung::tracepoint) {
        WARN("this kernel has no such rung");
        return;
    }
    const Namespace many;
    const Namespace one;
    many.write("sys/net/ipv4/tcp_max_tw_buckets", "0");
    const auto everywhere = many.inside([] { return listen_on("0.0.0.0", port, 4096); });
    const auto listener = one.inside([] { return listen_on("127.0.0.1", port, 16); });
    const auto before = probes.queues_left_out().value();
    CHECK_FALSE(of_netns(before, many));
    connect_and_close(one, listener, port, 1);
    const auto begin = std::chrono::steady_clock::now();
    many.inside([&] {
        for (int i = 0; i < 20'000; ++i) {
            const sys::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const std::string address = fmt::format("127.1.{}.{}", i / 250, 1 + i % 250);
            must(connect_to(client, address.c_str(), port) == 0, "connect");
            const sys::Fd taken = accept_one(everywhere);
        }
        return 0;
    });
    if (std::chrono::steady_clock::now() - begin > std::chrono::seconds(15)) {
        WARN("this machine is too slow to be held back");
        return;
    }
    connect_and_close(one, listener, port, 1);
    const auto left_out = probes.queues_left_out().value();
    CHECK(of_netns(left_out, many));
    CHECK_FALSE(of_netns(left_out, one));
    CHECK(probes.lost_events() > 0);
    const auto queues = seen_in(probes.queues().value(), one);
    REQUIRE(queues.size() == 1);
    CHECK(queues[0].arrivals == 2); // it is the same as before: nothing has taken its place
    CHECK(probes.queues_left_out().value().empty());
}

TEST_CASE("overflows are what the kernel counts, and the listener's drops account for them") {
    auto probes = open_probes();
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 4); });
    std::vector<sys::Fd> connected;
    SECTION("when the SYN meets a full queue") {
        connected = netns.inside([] { return clients(20, "127.0.0.1", port); });
    }
    SECTION("when the last ACK does") {
        const auto early = netns.inside([] { return clients(4, "127.0.0.1", port); });
        connected = late_acks(netns, 4);
        const bool by_listener = probes.rung(Probe::listen) == Rung::fentry;
        if (!by_listener && !probes.counts_last_ack_overflows()) return; // nothing tells whose they were
        CHECK(eventually([&] { return netstat(netns, "ListenOverflows") >= 3; }));
    }
    SECTION("when the last ACK brings back a SYN cookie") {
        connected = late_acks(netns, 12);
        CHECK(reading_of(probes, netns).cookies_sent > 0);
        CHECK(eventually([&] {
            const std::uint64_t returned = netstat(netns, "SyncookiesRecv");
            return returned > 0 && reading_of(probes, netns).cookies_returned == returned;
        }));
    }
    REQUIRE(netstat(netns, "ListenOverflows") > 0);
    // The clients repeat themselves: compare when nothing was counted meanwhile.
    CHECK(eventually([&] {
        const std::string counters = netns.read("net/netstat");
        const auto found = listener_of(probes, netns, port);
        const auto reading = reading_of(probes, netns);
        if (netns.read("net/netstat") != counters) return false;
        const auto before = sys::netstat_value(counters, "TcpExt", "ListenOverflows").value();
        CHECK(reading.listen_overflows == before);
        CHECK(reading.listen_drops == sys::netstat_value(counters, "TcpExt", "ListenDrops"));
        CHECK(overflows_of(found) == before);
        return found.queue == 5;
    }));
}

TEST_CASE("two rungs of listen agree under the same traffic") {
    auto best = open_probes();
    auto netlink = Probes::open({.rungs = {{Probe::listen, Rung::netlink}, {Probe::time_wait, Rung::procfs}}});
    REQUIRE(netlink.rung(Probe::listen) == Rung::netlink);
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "4");
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const auto full = netns.inside([] { return listen_on("0.0.0.0", port, 4); });
    const auto half = netns.inside([] { return listen_on("127.0.0.1", port + 1, 4); });
    const auto lost = netns.inside([] { return clients(20, "127.0.0.1", port); });
    const auto waiting = netns.inside([] { return clients(3, "127.0.0.1", port + 1); });

    // Clients repeat themselves: compare when nothing was counted meanwhile.
    CHECK(eventually([&] {
        const std::string counters = netns.read("net/netstat");
        const std::array tcp{reading_of(best, netns), reading_of(netlink, netns)};
        std::array<std::vector<ListenerReading>, 2> listeners{listeners_of(best), listeners_of(netlink)};
        if (netns.read("net/netstat") != counters) return false;
        CHECK(tcp[0].netns == tcp[1].netns);
        CHECK(tcp[0].listen_overflows == tcp[1].listen_overflows);
        CHECK(tcp[0].somaxconn == tcp[1].somaxconn);
        CHECK(tcp[0].max_syn_backlog == tcp[1].max_syn_backlog);
        CHECK(tcp[0].syncookies == tcp[1].syncookies);
        for (auto& of_rung : listeners) {
            std::erase_if(of_rung, [&](const auto& one) { return one.netns.inode != netns.inode(); });
            std::ranges::sort(of_rung, {}, &ListenerReading::cookie);
            REQUIRE(of_rung.size() == 2);
        }
        std::uint64_t drops = 0;
        for (std::size_t i = 0; i < 2; ++i) {
            const auto& [one, other] = std::pair(listeners[0][i], listeners[1][i]);
            CHECK(one.netns == other.netns);
            CHECK(one.cookie == other.cookie);
            CHECK(one.inode == other.inode);
            CHECK(one.local == other.local);
            CHECK(one.pid == other.pid);
            CHECK(one.fd == other.fd);
            CHECK(one.command == other.command);
            CHECK(one.queue == other.queue);
            CHECK(one.limit == other.limit);
            CHECK(one.drops == other.drops);
            drops += one.drops;
        }
        CHECK(drops == tcp[0].listen_overflows); // SYNs alone were lost
        return true;
    }));
    CHECK(netstat(netns, "ListenOverflows") >= 15);
}

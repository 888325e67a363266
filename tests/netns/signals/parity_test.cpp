// SPDX-License-Identifier: Apache-2.0
// Every rung that this kernel has, side by side under the same traffic, reports what the kernel counted: exactly,
// unless signals/sight.cpp says otherwise; never more than it at ticks, in sum where it is estimated.
#include <catch2/catch.hpp>

#include <array>
#include <cmath>
#include <map>
#include <sstream>

#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include "netns/host_sysctl.hpp"
#include "netns/probes/delay.hpp"
#include "netns/probes/traffic.hpp"
#include "netns/signals/sides.hpp"
#include "sys/clock.hpp"
#include "sys/sockets.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::signals;

namespace {

const Listener* listener_at(const Snapshot& snapshot, const Namespace& netns, std::uint16_t port) {
    for (const Listener& each : snapshot.listeners)
        if (each.netns.inode == netns.inode() && each.local.port == port) return &each;
    return nullptr;
}

// On some rungs listeners are looked at once in a while.
MonoTime oldest_look(Sides& sides, const Namespace& netns, std::uint16_t port) {
    MonoTime oldest = MonoTime::max();
    for (const Side& side : sides.all()) {
        const Listener* row = listener_at(side.seen, netns, port);
        oldest = std::min(oldest, row == nullptr ? MonoTime() : row->read);
    }
    return oldest;
}

const NetnsTcp* tcp_of(const Snapshot& snapshot, const Namespace& netns) {
    for (const NetnsTcp& each : snapshot.tcp)
        if (each.netns.inode == netns.inode()) return &each;
    return nullptr;
}

const Conntrack* conntrack_of(const Snapshot& snapshot, const Namespace& netns) {
    for (const Conntrack& each : snapshot.conntrack)
        if (each.netns.inode == netns.inode()) return &each;
    return nullptr;
}

// Clients of `netns` whose last ACKs are lost: they believe to be connected, and their data then brings them all at
// once. The last `silent` of them send none.
std::vector<sys::Fd> late_acks(const Namespace& netns, std::size_t count, std::uint16_t port, std::size_t silent = 0) {
    const LostLastAcks lost(netns);
    auto connected = netns.inside([&] { return clients(count, "127.0.0.1", port); });
    lost.end();
    for (std::size_t i = 0; i + silent < count; ++i)
        must(::send(connected[i].value(), "x", 1, MSG_NOSIGNAL) == 1, "send");
    return connected;
}

// One of those here that let four wait: one more fits.
bool is_full(const sys::Fd& listener) { return sys::accept_queue(listener.value()).value().length == 5; }

// Packets that the socket discarded, for any reason: sk_drops, as the kernel itself tells it.
std::uint64_t drops_of(const sys::Fd& listener) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> numbers{};
    socklen_t size = sizeof numbers;
    must(::getsockopt(listener.value(), SOL_SOCKET, SO_MEMINFO, numbers.data(), &size) == 0, "SO_MEMINFO");
    return numbers[SK_MEMINFO_DROPS];
}

// So that closing it sends an RST, and nothing is sent again later.
void reset(const sys::Fd& client) {
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    must(::setsockopt(client.value(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0, "SO_LINGER");
}

// Handshakes under way, as /proc/net/tcp lists them: state 03 is SYN_RECV (include/net/tcp_states.h).
std::size_t handshakes_under_way(const Namespace& netns) {
    std::istringstream rows(netns.read("net/tcp"));
    std::string number;
    std::string local;
    std::string remote;
    std::string state;
    std::size_t count = 0;
    while (rows >> number >> local >> remote >> state) {
        if (state == "03") ++count;
        std::getline(rows, number);
    }
    return count;
}

// The handshakes that the kernel counts as lost to full accept queues, while `work` is done.
std::uint64_t overflows_during(const Namespace& netns, const std::function<void()>& work) {
    const std::uint64_t before = netstat(netns, "ListenOverflows");
    work();
    return netstat(netns, "ListenOverflows") - before;
}

// One of several on its port.
sys::Fd listen_beside_others(std::uint16_t port) {
    sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    constexpr int on = 1;
    must(::setsockopt(socket.value(), SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) == 0, "SO_REUSEPORT");
    const sockaddr_in at = address_of("127.0.0.1", port);
    must(::bind(socket.value(), reinterpret_cast<const sockaddr*>(&at), sizeof at) == 0, "bind");
    must(::listen(socket.value(), 64) == 0, "listen");
    return socket;
}

std::vector<sys::SoftnetRow> softnet_rows() {
    return sys::parse_softnet_stat(sys::read_file("/proc/net/softnet_stat").value()).value();
}

// While it lasts no flow may have more than its share of a backlog, on any CPU; whoever has the lock of the host's
// sysctls makes one.
class FlowLimit {
public:
    FlowLimit() : before_(sys::read_file(path).value()) {
        write(fmt::format("{:x}", (1ULL << ::sysconf(_SC_NPROCESSORS_CONF)) - 1));
    }
    FlowLimit(const FlowLimit&) = delete;
    FlowLimit& operator=(const FlowLimit&) = delete;
    ~FlowLimit() { static_cast<void>(sys::write_file(path, before_)); }

private:
    static constexpr const char* path = "/proc/sys/net/core/flow_limit_cpu_bitmap";
    static void write(const std::string& mask) { must(sys::write_file(path, mask).has_value(), "limit flows"); }
    std::string before_;
};

constexpr std::uint16_t by_syn = 8081;
constexpr std::uint16_t by_last_ack = 8082;
constexpr std::uint16_t by_cookie = 8083;
constexpr std::uint16_t healthy = 8084;

} // namespace

TEST_CASE("every rung of listen counts what the kernel counts, for each of several listeners") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Sides sides(Probe::listen);
    std::map<std::uint16_t, sys::Fd> listeners;
    for (const std::uint16_t port : {by_syn, by_last_ack, by_cookie})
        listeners[port] = netns.inside([&] { return listen_on("127.0.0.1", port, 4); });
    listeners[healthy] = netns.inside([&] { return listen_on("127.0.0.1", healthy, 64); });

    std::vector<sys::Fd> waiting;
    std::map<std::uint16_t, std::uint64_t> overflows;
    overflows[by_syn] = overflows_during(
        netns, [&] { const auto refused = netns.inside([] { return clients(20, "127.0.0.1", by_syn); }); });
    waiting = netns.inside([] { return clients(10, "127.0.0.1", healthy); });
    CHECK(accept_all(listeners[healthy]) == 10);
    const auto more = netns.inside([] { return clients(3, "127.0.0.1", healthy); });
    overflows[healthy] = 0;
    std::vector<sys::Fd> cookies;
    overflows[by_cookie] = overflows_during(netns, [&] {
        cookies = late_acks(netns, 13, by_cookie, 1);
        REQUIRE(comes_true(
            [&] { return is_full(listeners[by_cookie]) && netstat(netns, "ListenOverflows") > overflows[by_syn]; }));
        for (const sys::Fd& client : cookies) reset(client);
        cookies.clear();
    });
    const std::uint64_t before = netstat(netns, "ListenOverflows");
    const auto early = netns.inside([] { return clients(4, "127.0.0.1", by_last_ack); });
    const auto late = late_acks(netns, 4, by_last_ack);

    // They repeat themselves: compared when nothing was counted since before the oldest look at a listener.
    std::uint64_t counted = 0;
    std::map<std::uint16_t, std::uint64_t> drops;
    MonoTime last_change;
    REQUIRE(comes_true([&] {
        if (const auto now = netstat(netns, "ListenOverflows"); std::exchange(counted, now) != now)
            last_change = sys::now().mono;
        sides.look();
        for (const auto& [port, listener] : listeners) drops[port] = drops_of(listener);
        return counted > before && is_full(listeners[by_last_ack]) &&
               oldest_look(sides, netns, healthy) > last_change && netstat(netns, "ListenOverflows") == counted;
    }));
    overflows[by_last_ack] = counted - before;
    CHECK(overflows[by_cookie] > 0);

    for (const auto& [at, truth] : overflows) {
        const std::uint16_t port = at; // a lambda takes no part of a structured binding
        const auto of_listener = [&](auto member) {
            return [&netns, port, member](const Snapshot& snapshot) -> Number {
                const Listener* row = listener_at(snapshot, netns, port);
                return row == nullptr ? Number() : number(row->*member);
            };
        };
        INFO("port " << port);
        const bool is_healthy = port == healthy;
        sides.expect("listener.queue", is_healthy ? 3 : 5, of_listener(&Listener::queue));
        sides.expect("listener.limit", is_healthy ? 64 : 4, of_listener(&Listener::limit));
        sides.expect("listener.asked", is_healthy ? 64 : 4, [&](const Snapshot& snapshot) {
            const Listener* row = listener_at(snapshot, netns, port);
            return row == nullptr ? Number() : number(row->asked);
        });
        sides.expect("listener.somaxconn", 4096, of_listener(&Listener::somaxconn));
        CHECK(drops[port] >= truth);
        sides.expect("listener.drops", drops[port], of_listener(&Listener::drops));
        sides.expect("listener.overflows", truth, of_listener(&Listener::overflows));
        sides.expect("listener.arrivals", is_healthy ? 13 : 5, of_listener(&Listener::arrivals));
        sides.expect("listener.queue_peak", is_healthy ? 10 : 5, of_listener(&Listener::queue_peak));
    }
    // However they are divided: all of them, and what is not exact says so.
    for (const Side& side : sides.all()) {
        std::uint64_t sum = 0;
        for (const Listener& row : side.seen.listeners) {
            if (row.netns.inode != netns.inode()) continue;
            sum += row.overflows;
            INFO(to_string(side.rung) << ", port " << row.local.port);
            if (!row.overflows_estimated) CHECK(row.overflows == overflows[row.local.port]);
            // Exact by estimates too, where no port is shared.
            const bool is_healthy = row.local.port == healthy;
            if (row.arrivals) CHECK(row.arrivals == (is_healthy ? 13 : 5));
            if (row.arrivals) CHECK(row.queue_peak == (is_healthy ? 10 : 5));
        }
        const NetnsTcp* row = tcp_of(side.seen, netns);
        REQUIRE(row != nullptr);
        INFO(to_string(side.rung));
        CHECK(sum + row->overflows_of_closed <= row->listen_overflows); // the rest is not claimed yet
    }
    const auto of_netns = [&](auto member) {
        return [&netns, member](const Snapshot& snapshot) -> Number {
            const NetnsTcp* row = tcp_of(snapshot, netns);
            return row == nullptr ? Number() : number(row->*member);
        };
    };
    sides.expect("syn_queue.listen_overflows", counted, of_netns(&NetnsTcp::listen_overflows));
    sides.expect("syn_queue.cookies_sent", netstat(netns, "SyncookiesSent"), of_netns(&NetnsTcp::cookies_sent));
    CHECK(netstat(netns, "SyncookiesRecv") > 0);
    sides.expect("syn_queue.cookies_returned", netstat(netns, "SyncookiesRecv"), of_netns(&NetnsTcp::cookies_returned));

    listeners.clear();
    REQUIRE(comes_true([&] {
        sides.look();
        return std::ranges::none_of(sides.all(), [&](const Side& side) {
            const auto in_netns = [&](const Listener& row) { return row.netns.inode == netns.inode(); };
            return std::ranges::any_of(side.seen.listeners, in_netns);
        });
    }));
    sides.look(); // what they lost until then
    sides.expect("syn_queue.overflows_of_closed", netstat(netns, "ListenOverflows"), row_of(netns));
}

TEST_CASE("every rung of listen counts the connections of listeners that share a port, at least in sum") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Sides sides(Probe::listen);
    const auto group =
        netns.inside([] { return std::array{listen_beside_others(healthy), listen_beside_others(healthy)}; });
    const auto connected = netns.inside([] { return clients(21, "127.0.0.1", healthy); });
    std::map<std::uint64_t, std::uint64_t> arrivals; // by cookie
    for (const sys::Fd& listener : group) arrivals[cookie_of(listener)] = accept_all(listener);
    sides.look();
    for (const auto& [at, truth] : arrivals) {
        const std::uint64_t cookie = at; // a lambda takes no part of a structured binding
        sides.expect("listener.arrivals", truth, [cookie](const Snapshot& snapshot) -> Number {
            const auto row = std::ranges::find(snapshot.listeners, cookie, &Listener::cookie);
            return row == snapshot.listeners.end() ? Number() : row->arrivals;
        });
    }
    for (const Side& side : sides.all()) {
        INFO(to_string(side.rung));
        std::uint64_t sum = 0;
        for (const Listener& row : side.seen.listeners)
            if (arrivals.contains(row.cookie)) sum += row.arrivals.value_or(0);
        CHECK(sum == (side.probes.sees_arrivals() ? 21 : 0));
    }
}

TEST_CASE("every rung of listen counts the SYNs that a full SYN queue refuses where cookies are off") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/tcp_syncookies", "0");
    netns.write("sys/net/ipv4/tcp_max_syn_backlog", "8");
    Sides sides(Probe::listen);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", by_syn, 8); });
    // Handshakes that are never finished: their last ACKs are dropped.
    const LostLastAcks lost(netns);
    const auto half_open = netns.inside([] { return clients(30, "127.0.0.1", by_syn); });
    std::uint64_t counted = 0;
    MonoTime last_change;
    REQUIRE(comes_true([&] {
        if (const auto now = netstat(netns, "ListenDrops"); std::exchange(counted, now) != now)
            last_change = sys::now().mono;
        sides.look();
        return oldest_look(sides, netns, by_syn) > last_change && netstat(netns, "ListenDrops") == counted;
    }));
    CHECK(netstat(netns, "ListenDrops") >= 20);
    CHECK(netstat(netns, "ListenOverflows") == 0);
    sides.expect("syn_queue.dropped", counted, [&](const Snapshot& snapshot) {
        const NetnsTcp* row = tcp_of(snapshot, netns);
        return row == nullptr ? Number() : number(row->syn_dropped);
    });
    sides.expect("syn_queue.other_drops", 0, row_of(netns));
    // None of them met a full accept queue.
    sides.expect("listener.overflows", 0, [&](const Snapshot& snapshot) {
        const Listener* row = listener_at(snapshot, netns, by_syn);
        return row == nullptr ? Number() : number(row->overflows);
    });
}

TEST_CASE("a rung of listen that sees SYN queues sees how many handshakes were under way at once") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Sides sides(Probe::listen);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", healthy, 64); });
    const LostLastAcks lost(netns);
    const auto connecting = netns.inside([] { return clients(10, "127.0.0.1", healthy); });
    REQUIRE(comes_true([&] { return handshakes_under_way(netns) == 10; }));
    const auto seen = [&](const Snapshot& snapshot) {
        const Listener* row = listener_at(snapshot, netns, healthy);
        return row == nullptr ? Number() : number(row->syn_queue);
    };
    CHECK(comes_true([&] { // a census finds the listener, and a look after it the queue
        sides.look();
        return std::ranges::all_of(sides.all(), [&](const Side& side) {
            return signals::sight_of(side.rung, "listener.syn_queue") == signals::Sight::unseen || seen(side.seen);
        });
    }));
    sides.expect("listener.syn_queue", 10, seen);
}

TEST_CASE("a rung of listen that is told sees how many requests may wait that come with a SYN") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Sides sides(Probe::listen);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", healthy, 64); });
    constexpr int queue = 16;
    must(::setsockopt(listener.value(), IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) == 0, "TCP_FASTOPEN");
    REQUIRE(comes_true([&] {
        sides.look();
        return std::ranges::all_of(sides.all(), [&](const Side& side) {
            const Listener* row = listener_at(side.seen, netns, healthy);
            return row != nullptr && (side.rung == Rung::netlink || row->fastopen_queue == 16U);
        });
    }));
    sides.expect("listener.fastopen_queue", 16, row_of(netns));
}

TEST_CASE("every rung of time_wait counts what the kernel counts") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/tcp_max_tw_buckets", "15");
    netns.write("sys/net/ipv4/ip_local_port_range", "30000 30022");
    Sides sides(Probe::time_wait);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", healthy, 64); });
    std::vector<sys::Fd> open;
    connect_and_close(netns, listener, healthy, 20);
    REQUIRE(comes_true([&] { return netstat(netns, "TCPTimeWaitOverflow") >= 5; })); // the last five of them
    netns.inside([&] {
        int exhausted = 0;
        while (exhausted < 3) {
            open.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            if (connect_to(open.back(), "127.0.0.1", healthy) == EADDRNOTAVAIL) ++exhausted;
        }
    });
    sides.look();
    const auto of_netns = [&](auto member) {
        return [&netns, member](const Snapshot& snapshot) -> Number {
            const NetnsTcp* row = tcp_of(snapshot, netns);
            return row == nullptr ? Number() : number(row->*member);
        };
    };
    const std::uint64_t entries = netstat(netns, "TW") + netstat(netns, "TWKilled");
    CHECK((entries == 15 || entries == 0)); // before 5.17 they are counted when they end
    sides.expect("time_wait.entries", entries, of_netns(&NetnsTcp::time_wait_entries));
    sides.expect("time_wait.overflows", netstat(netns, "TCPTimeWaitOverflow"),
                 of_netns(&NetnsTcp::time_wait_overflows));
    sides.expect("time_wait.sockets", sys::sockstat_value(netns.read("net/sockstat"), "TCP", "tw").value(),
                 of_netns(&NetnsTcp::time_wait_sockets));
    sides.expect("time_wait.limit", 15, of_netns(&NetnsTcp::time_wait_limit));
    sides.expect("time_wait.ports_exhausted", 3, [&](const Snapshot& snapshot) {
        const NetnsTcp* row = tcp_of(snapshot, netns);
        return row == nullptr ? Number() : number(row->ports_exhausted);
    });
}

TEST_CASE("every rung of conntrack counts what the kernel counts") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns);
    Sides sides(Probe::conntrack);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", healthy, 64); });
    const auto connected = netns.inside([] { return clients(7, "127.0.0.1", healthy); });
    sides.look();
    sides.expect("conntrack.inserts_per_second", 7, [&](const Snapshot& snapshot) -> Number {
        const Conntrack* row = conntrack_of(snapshot, netns);
        if (row == nullptr || !row->inserts_per_second) return {};
        return std::llround(*row->inserts_per_second * Seconds(snapshot.interval).count());
    });
    const auto of_table = [&](auto member) {
        return [&netns, member](const Snapshot& snapshot) -> Number {
            const Conntrack* row = conntrack_of(snapshot, netns);
            return row == nullptr ? Number() : number(row->*member);
        };
    };
    {
        const HostSysctl small("/proc/sys/net/netfilter/nf_conntrack_max", 10);
        const auto refused = netns.inside([] {
            std::vector<sys::Fd> sockets;
            for (int i = 0; i < 30; ++i) {
                sockets.emplace_back(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
                static_cast<void>(connect_to(sockets.back(), "127.0.0.1", healthy));
            }
            return sockets;
        });
        sides.look();
        // A sample has all of so small a table.
        sides.expect("conntrack.sampled_entries", 10, row_of(netns));
        sides.expect("conntrack.tcp_entries", 10, row_of(netns));
        sides.expect("conntrack.udp_entries", 0, row_of(netns));
        sides.expect("conntrack.other_entries", 0, row_of(netns));
        sides.expect("conntrack.established_entries", 10, row_of(netns));
        sides.expect("conntrack.time_wait_entries", 0, row_of(netns));
        sides.expect("conntrack.close_wait_entries", 0, row_of(netns));
        for (const std::string state : {"established", "time_wait", "close_wait"})
            sides.expect("conntrack." + state + "_timeout_seconds",
                         std::stoull(netns.read("sys/net/netfilter/nf_conntrack_tcp_timeout_" + state)), row_of(netns));
        sides.expect("conntrack.limit", 10, of_table(&Conntrack::limit));
        sides.expect("conntrack.buckets", sys::read_number("/proc/sys/net/netfilter/nf_conntrack_buckets").value(),
                     of_table(&Conntrack::buckets));
    }
    sides.look();
    const auto stat = sys::parse_conntrack_stat(netns.read("net/stat/nf_conntrack")).value();
    CHECK(stat.drop > 0);
    sides.expect("conntrack.entries", stat.entries, of_table(&Conntrack::entries));
    sides.expect("conntrack.drops", stat.drop, of_table(&Conntrack::drops));
    sides.expect("conntrack.early_drops", stat.early_drop, of_table(&Conntrack::early_drops));
    sides.expect("conntrack.insert_failed", stat.insert_failed, of_table(&Conntrack::insert_failed));
}

// Counters of the whole node, which do not stand still: each side has begun after the first and before the second
// reading here, and looked between the third and the fourth.
TEST_CASE("every rung of softirq counts what the kernel counts") {
    const Namespace here;
    const Namespace there;
    connect(here, there);
    std::array<std::vector<sys::SoftnetRow>, 4> rows;
    rows[0] = softnet_rows();
    Sides sides(Probe::softirq);
    rows[1] = softnet_rows();
    std::uint64_t flow_limited = 0;
    for (const sys::SoftnetRow& row : rows[1]) flow_limited += row.flow_limited;
    {
        const HostSysctl one("/proc/sys/net/core/netdev_budget", 1);
        const auto listener = here.inside([] { return listen_on("127.0.0.1", healthy, 64); });
        const auto connected = here.inside([] { return clients(7, "127.0.0.1", healthy); });
    }
    {
        const HostSysctl few("/proc/sys/net/core/netdev_max_backlog", 40);
        const FlowLimit limit; // past half of that
        const auto sum_of = [](auto member) {
            std::uint64_t sum = 0;
            for (const sys::SoftnetRow& row : softnet_rows()) sum += row.*member;
            return sum;
        };
        CHECK(comes_true([&] {
            send_at_one_go(here, "10.77.0.2", healthy, 10);
            return sum_of(&sys::SoftnetRow::dropped) > 0 && sum_of(&sys::SoftnetRow::flow_limited) > flow_limited;
        }));
        rows[2] = softnet_rows();
        sides.look();
        rows[3] = softnet_rows();
        for (const sys::SoftnetRow& row : rows[3])
            for (const std::string name : {"budget", "budget_usecs"})
                sides.expect("softirq." + name, sys::read_number("/proc/sys/net/core/netdev_" + name).value(),
                             {{"cpu", std::uint64_t{row.cpu}}});
    }
    const auto of_cpu = [](unsigned cpu, auto member) {
        return [cpu, member](const Snapshot& snapshot) -> Number {
            const auto row = std::ranges::find(snapshot.softirq, cpu, &SoftirqCpu::cpu);
            return row == snapshot.softirq.end() ? Number() : number((*row).*member);
        };
    };
    for (const sys::SoftnetRow& row : rows[0])
        sides.expect("softirq.backlog_limit", 40, of_cpu(row.cpu, &SoftirqCpu::backlog_limit));
    const auto expect = [&](std::string_view signal, auto of_row, auto member) {
        std::uint64_t sum = 0;
        for (std::size_t i = 0; i < rows[0].size(); ++i) {
            const Sides::Bounds truth{.least = rows[2].at(i).*of_row - rows[1].at(i).*of_row,
                                      .most = rows[3].at(i).*of_row - rows[0].at(i).*of_row};
            sum += truth.least;
            sides.expect(signal, truth, of_cpu(rows[0][i].cpu, member));
        }
        INFO(signal);
        CHECK(sum > 0);
    };
    expect("softirq.processed", &sys::SoftnetRow::processed, &SoftirqCpu::processed);
    expect("softirq.dropped", &sys::SoftnetRow::dropped, &SoftirqCpu::dropped);
    expect("softirq.flow_limited", &sys::SoftnetRow::flow_limited, &SoftirqCpu::flow_limited);
    expect("softirq.time_squeeze", &sys::SoftnetRow::time_squeeze, &SoftirqCpu::time_squeeze);
}

TEST_CASE("the rung of neighbours counts what the kernel counts") {
    const auto now = [] {
        return sys::parse_neighbour_stat(sys::read_file("/proc/net/stat/arp_cache").value()).value();
    };
    const Namespace here;
    const Namespace there;
    connect(here, there);
    std::array<sys::NeighbourStat, 4> stats;
    stats[0] = now();
    Sides sides(Probe::neighbours);
    stats[1] = now();
    send_at_one_go(here, "10.77.0.2", healthy);
    send_at_one_go(here, "10.77.0.3", healthy); // where nobody is
    CHECK(comes_true([&] { return now().res_failed > stats[1].res_failed; }));
    stats[2] = now();
    sides.look();
    stats[3] = now();
    const auto of_arp = [](auto member) {
        return [member](const Snapshot& snapshot) -> Number {
            const auto row = std::ranges::find(snapshot.neighbours, Family::ipv4, &NeighbourTable::family);
            return row == snapshot.neighbours.end() ? Number() : number((*row).*member);
        };
    };
    const auto expect = [&](std::string_view signal, auto counter, auto member) {
        sides.expect(signal, {stats[2].*counter - stats[1].*counter, stats[3].*counter - stats[0].*counter},
                     of_arp(member));
    };
    expect("neighbours.made", &sys::NeighbourStat::allocs, &NeighbourTable::made);
    expect("neighbours.unanswered", &sys::NeighbourStat::res_failed, &NeighbourTable::unanswered);
    expect("neighbours.refused", &sys::NeighbourStat::table_fulls, &NeighbourTable::refused);
    const auto [least, most] = std::minmax(stats[2].entries, stats[3].entries);
    sides.expect("neighbours.entries", {least, most}, of_arp(&NeighbourTable::entries));
    sides.expect("neighbours.limit", sys::read_number("/proc/sys/net/ipv4/neigh/default/gc_thresh3").value(),
                 of_arp(&NeighbourTable::gc_thresh3));
}

TEST_CASE("the rung of buffers sees which limit holds a flow back") {
    const Namespace from;
    const Namespace to;
    const Process sender(from, [] { return std::uint64_t{0}; }); // so that its sysctls are read
    const Process receiver(to, [] { return std::uint64_t{0}; });
    const Delay delay(from, to, std::chrono::milliseconds(25));
    to.write("sys/net/ipv4/tcp_rmem", "4096 131072 200000");
    from.write("sys/net/ipv4/tcp_wmem", "4096 131072 33554432");
    Sides sides(Probe::buffers);
    if (sides.all().empty()) return;
    const Stream stream(from, to, {});
    const auto of = [&](auto read) {
        return [&to, read](const Snapshot& snapshot) -> Number {
            const auto row = std::ranges::find(snapshot.buffers, to.inode(),
                                               [](const TcpBuffers& each) { return each.netns.inode; });
            return row == snapshot.buffers.end() ? Number() : read(*row);
        };
    };
    const auto held = of([](const TcpBuffers& row) { return row.receiving ? number(row.receiving->flows) : Number(); });
    CHECK(comes_true([&] {
        ::poll(nullptr, 0, 260);
        sides.look();
        return std::ranges::all_of(sides.all(), [&](const Side& side) { return held(side.seen) == Number(1); });
    }));
    sides.expect("buffers.rmem_max", 200000, of([](const TcpBuffers& row) { return number(row.rmem_max); }));
    sides.expect("buffers.looked_at", 1, of([](const TcpBuffers& row) { return number(row.looked_at); }));
    sides.expect("buffers.receiving_held_back", 1, held);
    sides.expect("buffers.sending_held_back", 0,
                 of([](const TcpBuffers& row) { return row.sending ? number(row.sending->flows) : Number(); }));
    sides.expect("buffers.window_scale", 0, of([](const TcpBuffers& row) { return number(row.window_scale); }));
    sides.expect("buffers.rmem_default", 131072, row_of(to));
    sides.expect("buffers.wmem_default", 131072, row_of(from));
    sides.expect("buffers.wmem_max", 33554432, row_of(from));
    sides.expect("buffers.left_out", 0, row_of(to));
    const std::string chosen = to.read("sys/net/ipv4/tcp_congestion_control");
    sides.expect("buffers.congestion_control", 1, of([&](const TcpBuffers& row) {
                     return number(row.congestion_control.value_or("") + "\n" == chosen ? 1 : 0);
                 }));
}

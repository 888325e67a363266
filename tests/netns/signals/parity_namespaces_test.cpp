// SPDX-License-Identifier: Apache-2.0
// As parity_test.cpp: what the probe `time_wait` reads of each network namespace, and of the node.
#include <catch2/catch.hpp>

#include <deque>

#include <netinet/tcp.h>

#include "core/parse.hpp"
#include "netns/lock.hpp"
#include "netns/probes/datagrams.hpp"
#include "netns/probes/fragments.hpp"
#include "netns/signals/sides.hpp"
#include "netns/signals/socket_states.hpp"
#include "sys/files.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

std::uint64_t tcp_counter(const Namespace& netns, const char* name) {
    return sys::netstat_value(netns.read("net/snmp"), "Tcp", name).value();
}

// The states as the kernel lists them while all sides look; those that see any agree, or a minute is over.
TcpStates look_at_states(Sides& sides, const Namespace& netns, std::uint64_t listening) {
    TcpStates truth;
    const auto agrees = [&](const Side& side) {
        const auto row =
            std::ranges::find(side.seen.tcp, netns.inode(), [](const NetnsTcp& each) { return each.netns.inode; });
        return row != side.seen.tcp.end() && (!row->states || *row->states == truth) &&
               (!row->listening || row->listening == listening); // by a census, which has its own time
    };
    CHECK(comes_true([&] {
        ::poll(nullptr, 0, 250);
        truth = states_of(netns);
        sides.look();
        return states_of(netns) == truth && std::ranges::all_of(sides.all(), agrees);
    }));
    return truth;
}

// A request with the SYN, where the client knows a cookie.
void request_at_once(const Namespace& netns, std::uint16_t port) {
    netns.inside([&] {
        const sys::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        const sockaddr_in to = address_of("127.0.0.1", port);
        must(::sendto(client.value(), "GET", 3, MSG_FASTOPEN | MSG_NOSIGNAL, reinterpret_cast<const sockaddr*>(&to),
                      sizeof to) == 3,
             "request");
    });
}

// Of each address family: some that wait too long, more than there is room for, some that are put together.
void fragments_of(Family family) {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const std::string sysctls = family == Family::ipv4 ? "sys/net/ipv4/ip" : "sys/net/ipv6/ip6";
    FragmentSender sender(netns, family == Family::ipv4 ? AF_INET : AF_INET6);
    netns.write(sysctls + "frag_low_thresh", "1000");
    netns.write(sysctls + "frag_high_thresh", "200000");
    Sides sides(Probe::time_wait);
    sender.begin(20);
    sides.look();
    netns.write(sysctls + "frag_high_thresh", "4194304");
    sender.complete();
    netns.write(sysctls + "frag_time", "1");
    sender.begin(1); // and never complete it
    REQUIRE(comes_true([&] { return sender.counter("ReasmTimeout") > 0; }));
    sender.begin(2);
    sides.look();
    Keys keys = row_of(netns);
    keys.emplace_back("family", std::string(to_string(family)));
    CHECK(sender.memory() > 0);
    sides.expect("fragments.memory", sender.memory(), keys);
    sides.expect("fragments.limit", 4194304, keys);
    sides.expect("fragments.reassembled", sender.counter("ReasmOKs"), keys);
    sides.expect("fragments.timed_out", sender.counter("ReasmTimeout"), keys);
    const std::uint64_t failed = sender.counter("ReasmFails") - sender.counter("ReasmTimeout");
    CHECK(failed > 0);
    sides.expect("fragments.failed", failed, keys);
}

// The three numbers of a sysctl of this node, with the lock for as long as they are others.
class ThreePages {
public:
    ThreePages(std::string path, const std::string& numbers) : path_(std::move(path)) {
        original_ = sys::read_file(path_).value();
        must(sys::write_file(path_, numbers).has_value(), "set " + path_);
    }
    ThreePages(const ThreePages&) = delete;
    ThreePages& operator=(const ThreePages&) = delete;
    ~ThreePages() { static_cast<void>(sys::write_file(path_, original_)); }

private:
    std::string path_;
    std::string original_;
};

std::uint64_t pages_in_use(const char* protocol) {
    return sys::sockstat_value(sys::read_file("/proc/net/sockstat").value(), protocol, "mem").value();
}

std::uint64_t page_bytes() { return static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)); }

Keys pool(const char* protocol) { return {{"protocol", std::string(protocol)}}; }

} // namespace

TEST_CASE("every rung of time_wait counts the segments of a namespace as the kernel does, those sent again too") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Sides sides(Probe::time_wait);
    const ConnectionsInStates connections(netns);
    REQUIRE(comes_true([&] { return tcp_counter(netns, "RetransSegs") >= 5; }));
    std::uint64_t sent = 0;
    std::uint64_t again = 0;
    REQUIRE(comes_true([&] {
        sent = tcp_counter(netns, "OutSegs");
        again = tcp_counter(netns, "RetransSegs");
        sides.look();
        return sent == tcp_counter(netns, "OutSegs") && again == tcp_counter(netns, "RetransSegs");
    }));
    sides.expect("tcp.segments_sent", sent, row_of(netns));
    sides.expect("tcp.segments_retransmitted", again, row_of(netns));
}

TEST_CASE("a rung of time_wait that counts sockets by state counts them as the kernel lists them") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    Sides sides(Probe::time_wait);
    const ConnectionsInStates connections(netns);
    const sys::Fd listener = netns.inside([] { return listen_on("127.0.0.1", 8094, 8); });
    auto theirs = netns.inside([] { return clients(2, "127.0.0.1", 8094); });
    theirs.clear(); // nobody accepts these
    const TcpStates truth = look_at_states(sides, netns, 4);
    CHECK(truth.close_wait == 2);
    sides.expect("tcp.established", truth.established, row_of(netns));
    sides.expect("tcp.syn_sent", truth.syn_sent, row_of(netns));
    sides.expect("tcp.syn_recv", truth.syn_recv, row_of(netns));
    sides.expect("tcp.fin_wait1", truth.fin_wait1, row_of(netns));
    sides.expect("tcp.fin_wait2", truth.fin_wait2, row_of(netns));
    sides.expect("tcp.time_wait", truth.time_wait, row_of(netns));
    sides.expect("tcp.close_wait", truth.close_wait, row_of(netns));
    sides.expect("tcp.last_ack", truth.last_ack, row_of(netns));
    sides.expect("tcp.closing", truth.closing, row_of(netns));
    sides.expect("tcp.listening", 4, row_of(netns));
}

TEST_CASE("every rung of time_wait that sees them has a namespace's ports and what it does with those in TIME_WAIT") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/ip_local_port_range", "30000 30022");
    netns.write("sys/net/ipv4/tcp_tw_reuse", "1");
    constexpr const char* delay = "/proc/sys/net/ipv4/tcp_tw_reuse_delay"; // since 6.14
    const bool has_delay = ::access(delay, F_OK) == 0;
    if (has_delay) netns.write("sys/net/ipv4/tcp_tw_reuse_delay", "2000");
    Sides sides(Probe::time_wait);
    sides.look();
    if (has_delay) sides.expect("time_wait.tw_reuse_delay_ms", 2000, row_of(netns));
    sides.expect("time_wait.local_ports", 23, row_of(netns));
    sides.expect("time_wait.tw_reuse", 1, row_of(netns));
}

TEST_CASE("every rung of time_wait counts who asks for Fast Open as the kernel does") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/tcp_fastopen", "3");
    Sides sides(Probe::time_wait);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", 8080, 64); });
    constexpr int queue = 16;
    must(::setsockopt(listener.value(), IPPROTO_TCP, TCP_FASTOPEN, &queue, sizeof queue) == 0, "TCP_FASTOPEN");
    for (int i = 0; i < 3; ++i) request_at_once(netns, 8080);
    netns.write("sys/net/ipv4/tcp_fastopen_key", "1-2-3-4"); // its clients' cookies are wrong from now on
    request_at_once(netns, 8080);
    sides.look();
    const std::uint64_t failed = netstat(netns, "TCPFastOpenPassiveFail") + netstat(netns, "TCPFastOpenListenOverflow");
    CHECK(netstat(netns, "TCPFastOpenCookieReqd") > 0);
    CHECK(netstat(netns, "TCPFastOpenPassive") > 0);
    CHECK(failed > 0);
    sides.expect("syn_queue.fastopen", 3, row_of(netns));
    sides.expect("syn_queue.fastopen_requests", netstat(netns, "TCPFastOpenCookieReqd"), row_of(netns));
    sides.expect("syn_queue.fastopen_opened", netstat(netns, "TCPFastOpenPassive"), row_of(netns));
    sides.expect("syn_queue.fastopen_failed", failed, row_of(netns));
}

TEST_CASE("every rung of time_wait that sees fragments counts those of IPv4 as the kernel does") {
    fragments_of(Family::ipv4);
}

TEST_CASE("every rung of time_wait that sees fragments counts those of IPv6 as the kernel does") {
    fragments_of(Family::ipv6);
}

TEST_CASE("every rung of time_wait has what sockets share of memory as the kernel tells it") {
    Sides sides(Probe::time_wait);
    for (const char* protocol : {"TCP", "UDP"}) {
        const std::string name = protocol == std::string("TCP") ? "tcp" : "udp";
        std::uint64_t pages = 0;
        REQUIRE(comes_true([&] { // other tests have sockets as well
            pages = pages_in_use(protocol);
            sides.look();
            return pages == pages_in_use(protocol);
        }));
        const auto limits = sys::sysctl_numbers(sys::read_file("/proc/sys/net/ipv4/" + name + "_mem").value());
        REQUIRE(limits.size() == 3);
        sides.expect("socket_memory.bytes", pages * page_bytes(), pool(name.c_str()));
        sides.expect("socket_memory.low", limits[0] * page_bytes(), pool(name.c_str()));
        sides.expect("socket_memory.pressure", limits[1] * page_bytes(), pool(name.c_str()));
        sides.expect("socket_memory.high", limits[2] * page_bytes(), pool(name.c_str()));
    }
}

// All sockets of the machine suffer from it for a moment.
TEST_CASE("every rung of time_wait that sees losses for want of socket memory counts them as the kernel does",
          "[.][own-machine]") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const HostLock lock;
    // Each CPU keeps up to 1 MiB aside, which is not in the sum that the limits are compared with.
    std::deque<Datagrams> full;
    for (int i = 0; i < 16; ++i) full.emplace_back(netns).send(600);
    const Datagrams other(netns);
    Sides sides(Probe::time_wait);
    {
        const ThreePages udp("/proc/sys/net/ipv4/udp_mem", "64 128 192");
        other.send(50);
        const ThreePages tcp("/proc/sys/net/ipv4/tcp_mem", "1 2 1000000");
        const auto listener = netns.inside([] { return listen_on("127.0.0.1", 8080, 64); });
        const auto connected = netns.inside([] { return clients(60, "127.0.0.1", 8080); });
        const std::vector<char> more_than_fits(std::size_t{1} << 20);
        for (const sys::Fd& client : connected)
            (void)::send(client.value(), more_than_fits.data(), more_than_fits.size(), MSG_NOSIGNAL);
        sides.look();
    }
    CHECK(netstat(netns, "TCPMemoryPressures") > 0);
    sides.expect("socket_memory.pressures", netstat(netns, "TCPMemoryPressures"), pool("tcp"));
    CHECK(other.read() < 50); // some were dropped
    const auto errors = sys::netstat_value(netns.read("net/snmp"), "Udp", "MemErrors");
    if (errors && *errors == 0) WARN("this kernel drops datagrams for want of memory and counts none (6.18)");
    sides.expect("socket_memory.lost", errors.value_or(0), pool("udp")); // before 5.11 no rung sees it
}

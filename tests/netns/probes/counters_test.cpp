// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <sys/stat.h>

#include "netns/host_sysctl.hpp"
#include "netns/rungs.hpp"
#include "probes/ctnetlink.hpp"
#include "probes/proc_namespaces.hpp"
#include "sys/files.hpp"
#include "traffic.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;

namespace {

constexpr std::uint16_t port = 8080;

// A /proc that shows one namespace, ours, and nf_conntrack as it is told to: this kernel's cannot be unloaded.
class ConntrackProc {
public:
    ConntrackProc() {
        must(::mkdtemp(root_.data()) != nullptr, "mkdtemp");
        std::filesystem::create_directories(root() / "thread-self/net/stat");
        std::filesystem::create_directories(root() / "thread-self/ns");
        std::filesystem::create_symlink("/proc/self", root() / "self"); // whose fd/ they are opened by
        write("thread-self/ns/net", "");
    }
    ConntrackProc(const ConntrackProc&) = delete;
    ConntrackProc& operator=(const ConntrackProc&) = delete;
    ~ConntrackProc() { std::filesystem::remove_all(root()); }

    [[nodiscard]] std::filesystem::path root() const { return root_; }
    [[nodiscard]] NetnsReading netns() const {
        struct stat info{};
        must(::stat((root() / "thread-self/ns/net").c_str(), &info) == 0, "stat");
        return {.netns = {.cookie = 1, .inode = static_cast<std::uint32_t>(info.st_ino)}};
    }

    void load(std::uint32_t early_drops) const {
        std::filesystem::create_directories(root() / "sys/net/netfilter");
        write("sys/net/netfilter/nf_conntrack_max", "1000\n");
        write("thread-self/net/stat/nf_conntrack",
              fmt::format("entries insert_failed drop early_drop\n00000005 00000000 00000000 {:08x}\n", early_drops));
    }
    void unload() const { std::filesystem::remove_all(root() / "sys/net/netfilter"); }

private:
    void write(const char* file, const std::string& text) const { std::ofstream(root() / file) << text; }

    std::string root_ = "/tmp/bpftune-conntrack-XXXXXX";
};

} // namespace

TEST_CASE("TIME_WAIT entries and sockets are those of /proc") {
    auto probes = open_probes();
    REQUIRE(probes.rung(Probe::time_wait) != Rung::none);
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/tcp_max_tw_buckets", "15");
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 8); });
    connect_and_close(netns, listener, port, 20);

    const auto reading = reading_of(probes, netns);
    CHECK(reading.time_wait_limit == 15);
    CHECK(reading.time_wait_sockets == 15);
    CHECK(reading.time_wait_sockets == sys::sockstat_value(netns.read("net/sockstat"), "TCP", "tw"));
    CHECK(reading.time_waited + reading.time_wait_killed == netstat(netns, "TW") + netstat(netns, "TWKilled"));
    CHECK(reading.time_wait_overflows == netstat(netns, "TCPTimeWaitOverflow"));
    CHECK(reading.time_wait_overflows == 5);
}

TEST_CASE("two rungs of time_wait agree under the same traffic") {
    auto probes = open_probes();
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 8); });
    connect_and_close(netns, listener, port, 10);

    const auto by_iterator = reading_of(probes, netns);
    const auto all = ProcNamespaces("/proc", sys::visit_netns, sys::own_looks()).read().value();
    const auto by_procfs = std::ranges::find(all, netns.inode(), [](const auto& one) { return one.netns.inode; });
    REQUIRE(by_procfs != all.end());
    CHECK(by_procfs->pid == resident.pid());
    CHECK(by_procfs->time_waited == by_iterator.time_waited);
    CHECK(by_procfs->time_waited == netstat(netns, "TW")); // older kernels count it at its end
    CHECK(by_procfs->time_wait_sockets == 10);
    CHECK(by_procfs->time_wait_killed == by_iterator.time_wait_killed);
    CHECK(by_procfs->time_wait_sockets == by_iterator.time_wait_sockets);
    CHECK(by_procfs->listen_overflows == by_iterator.listen_overflows);
}

TEST_CASE("connects that find no local port are counted, with who suffered") {
    auto probes = open_probes({.event_interval = std::chrono::hours(1)});
    if (is_blind(probes.rung(Probe::time_wait) != Rung::procfs, "connects without a port")) return;
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/ip_local_port_range", "30000 30003");
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    const auto connected = netns.inside([] { return clients(4, "127.0.0.1", port); });
    CHECK(reading_of(probes, netns).ports_exhausted == 0);

    netns.inside([] {
        for (int i = 0; i < 5; ++i) {
            const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            CHECK(connect_to(socket, "127.0.0.1", port) == EADDRNOTAVAIL);
        }
    });
    CHECK(reading_of(probes, netns).ports_exhausted == 5);
    const auto events = events_of<PortsExhaustedEvent>(probes, netns);
    REQUIRE(events.size() == 1);
    CHECK(events[0].pid == ::getpid());
    CHECK(events[0].command + "\n" == sys::read_file("/proc/self/comm").value());
    CHECK(events[0].remote == Endpoint{"127.0.0.1", port});
}

TEST_CASE("each port of the range is a connect's, of either parity, for each destination, and once more UDP's") {
    auto probes = open_probes();
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    constexpr std::size_t ports = 10;
    netns.write("sys/net/ipv4/ip_local_port_range", "30000 30009");
    const auto listener = netns.inside([] { return listen_on("0.0.0.0", port, 64); });
    std::vector<sys::Fd> open = netns.inside([] { return clients(ports, "127.0.0.1", port); });
    std::set<std::uint16_t> taken;
    for (const sys::Fd& socket : open) taken.insert(port_of(socket));
    CHECK(taken.size() == ports);
    CHECK(*taken.begin() == 30000);
    CHECK(*taken.rbegin() == 30009);
    for (sys::Fd& socket : netns.inside([] { return clients(ports, "127.0.0.2", port); }))
        open.push_back(std::move(socket));

    taken.clear();
    netns.inside([&] {
        for (std::size_t i = 0; i < ports; ++i) {
            open.push_back(datagram_socket("0.0.0.0", 0));
            taken.insert(port_of(open.back()));
        }
        CHECK_FALSE(datagram_socket("0.0.0.0", 0));
        const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        CHECK(connect_to(socket, "127.0.0.3", 53) == EAGAIN); // whatever its destination
    });
    CHECK(taken.size() == ports);
    if (probes.rung(Probe::time_wait) != Rung::procfs) CHECK(reading_of(probes, netns).ports_exhausted == 0);
}

TEST_CASE("the highest port of a UDP socket below the range is found, whoever holds it, and of no other namespace") {
    auto probes = open_probes();
    if (is_blind(probes.rung(Probe::time_wait) != Rung::procfs, "connects without a port")) return;
    const Namespace netns;
    const Namespace other;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write("sys/net/ipv4/ip_local_port_range", "30000 30009");
    const auto below = [&] { return probes.udp_port_below(reading_of(probes, netns)); };
    // The first asks for udp_diag where that is a module, which takes longer than is waited for.
    REQUIRE(comes_true([&] { return below().has_value(); }));
    const auto elsewhere = other.inside([] { return datagram_socket("0.0.0.0", 29000); });
    const auto above = netns.inside([] { return datagram_socket("0.0.0.0", 40000); });
    const auto within = netns.inside([] { return datagram_socket("0.0.0.0", 0); });
    CHECK(below().value() == 0);
    const auto low = netns.inside([] { return datagram_socket("0.0.0.0", 53); });
    const auto high = netns.inside([] { return datagram_socket("127.0.0.1", 29999); });
    CHECK(below().value() == 29999);
    netns.inside([&] { must(connect_to(high, "127.0.0.2", 53) == 0, "connect"); });
    CHECK(below().value() == 29999);
}

TEST_CASE("a namespace's range of local ports is read, and who has a range of its own says nothing of it") {
    auto probes = open_probes();
    if (is_blind(probes.rung(Probe::time_wait) != Rung::procfs, "connects without a port")) return;
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    CHECK(reading_of(probes, netns).local_ports == LocalPorts{32768, 60999});
    netns.write("sys/net/ipv4/ip_local_port_range", "30000 30100");
    CHECK(reading_of(probes, netns).local_ports == LocalPorts{30000, 30100});
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    constexpr int ip_local_port_range = 51; // IP_LOCAL_PORT_RANGE, since 6.3
    const std::uint32_t one_port = 30005U << 16 | 30005U;
    bool is_known = true;
    const auto connect_from_it = [&] {
        sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        is_known &= ::setsockopt(socket.value(), IPPROTO_IP, ip_local_port_range, &one_port, sizeof one_port) == 0;
        const int error = is_known ? connect_to(socket, "127.0.0.1", port) : 0;
        return std::pair(std::move(socket), error);
    };
    const auto first = netns.inside(connect_from_it);
    if (!is_known) return;
    CHECK(first.second == 0);
    CHECK(netns.inside(connect_from_it).second == EADDRNOTAVAIL);
    const NetnsReading reading = reading_of(probes, netns);
    CHECK(reading.ports_exhausted == 1);
    CHECK(reading.own_ports_exhausted == 1);
}

TEST_CASE("a refused connect and one that is given up are no want of a port") {
    auto probes = open_probes();
    if (is_blind(probes.rung(Probe::time_wait) != Rung::procfs, "connects without a port")) return;
    const Namespace here;
    const Namespace there;
    connect(here, there);
    const Process resident(here, [] { return std::uint64_t{0}; });
    here.inside([] {
        const sys::Fd refused(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
        CHECK(connect_to(refused, "127.0.0.1", port) == ECONNREFUSED);
        const auto unanswered = clients(1, "10.77.0.99", port);
    });
    CHECK(reading_of(probes, here).ports_exhausted == 0);
    CHECK(events_of<PortsExhaustedEvent>(probes, here).empty());
}

TEST_CASE("conntrack's drops are those of /proc, and both rungs agree") {
    auto probes = open_probes();
    if (probes.rung(Probe::conntrack) == Rung::none) return; // a kernel without it
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    {
        const HostSysctl small("/proc/sys/net/netfilter/nf_conntrack_max", 10);
        netns.inside([] {
            for (int i = 0; i < 30; ++i) {
                const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
                static_cast<void>(connect_to(socket, "127.0.0.1", port));
            }
        });
    }
    const auto readings = probes.conntrack(probes.namespaces().value()).value();
    const auto reading = std::ranges::find(readings, netns.inode(), [](const auto& one) { return one.netns.inode; });
    REQUIRE(reading != readings.end());
    const auto stat = sys::parse_conntrack_stat(netns.read("net/stat/nf_conntrack")).value();
    CHECK(stat.drop > 0);
    CHECK(reading->drops == stat.drop);
    CHECK(reading->early_drops == stat.early_drop);
    CHECK(reading->insert_failed == stat.insert_failed);
    CHECK(reading->entries == stat.entries);
    const auto visit =
        sys::visit_netns(reading->netns, {.pid = resident.pid(), .path = {}}, {sys::Netlink::netfilter}).value();
    CHECK(ctnetlink_stat(visit.socket).value() == stat);
}

TEST_CASE("a namespace whose process is another's by now is left out of conntrack's reading") {
    auto probes = open_probes();
    auto namespaces = probes.namespaces().value();
    REQUIRE_FALSE(namespaces.empty());
    ++namespaces[0].netns.inode;
    CHECK(probes.conntrack(std::span(namespaces).first(1)).value().empty());
}

namespace {

std::optional<ConntrackReading> conntrack_of(Probes& probes, const Namespace& netns) {
    const auto readings = probes.conntrack(probes.namespaces().value()).value();
    const auto found = std::ranges::find(readings, netns.inode(), [](const auto& one) { return one.netns.inode; });
    return found == readings.end() ? std::nullopt : std::optional(*found);
}

} // namespace

TEST_CASE("a namespace that no process is in but that is bound is read as others are") {
    auto probes = open_probes();
    const Namespace netns;
    netns.write("sys/net/core/somaxconn", "77");
    track_connections(netns);
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 8); });
    connect_and_close(netns, listener, port, 6);

    // A slow machine may not come to it at once; what made the connections may not have ended yet.
    probes::NetnsReading reading;
    std::optional<probes::ConntrackReading> table;
    const bool has_tables = probes.rung(Probe::conntrack) != Rung::none; // else a kernel without it
    REQUIRE(comes_true([&] {
        reading = reading_of(probes, netns);
        table = conntrack_of(probes, netns);
        return reading.pid == 0 && (table || !has_tables);
    }));
    CHECK(reading.path == "/run/netns/" + netns.name());
    CHECK(reading.netns == netns.inside([] { return sys::own_netns().value(); }));
    CHECK(reading.somaxconn == 77U);
    CHECK(reading.time_wait_sockets == 6);
    CHECK(reading.time_waited + reading.time_wait_killed == netstat(netns, "TW") + netstat(netns, "TWKilled"));
    CHECK(reading.has_sockets); // of ours
    if (!has_tables) return;
    CHECK(table->entries == 6);
    const auto sample = probes.sample_conntrack(reading, 100).value();
    CHECK(sample.entries.size() == 6);
}

TEST_CASE("a namespace that its last process leaves goes on with the same counters") {
    auto probes = open_probes();
    const Namespace netns;
    track_connections(netns);
    Process resident(netns, [] { return std::uint64_t{0}; });
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 8); });
    connect_and_close(netns, listener, port, 6);
    const auto with = reading_of(probes, netns);
    const auto table_with = conntrack_of(probes, netns);
    resident.end();
    const auto without = reading_of(probes, netns);
    const auto table_without = conntrack_of(probes, netns);
    CHECK(with.pid > 0);
    CHECK(without.pid == 0);
    CHECK(with.netns == without.netns);
    CHECK(with.time_waited + with.time_wait_killed == without.time_waited + without.time_wait_killed);
    CHECK(with.listen_drops == without.listen_drops);
    CHECK(with.cookies_sent == without.cookies_sent);
    REQUIRE(table_with.has_value() == table_without.has_value());
    if (table_with) CHECK(table_with->entries == table_without->entries);
}

TEST_CASE("a namespace that is unbound is let go of at once") {
    auto probes = open_probes();
    Namespace netns;
    REQUIRE(reading_of(probes, netns).pid == 0);
    const std::uint32_t inode = netns.inode();
    netns.remove(); // waits for nobody: it ends only if no descriptor of ours is left
    const auto readings = probes.namespaces().value();
    CHECK(std::ranges::none_of(readings, [&](const auto& each) { return each.netns.inode == inode; }));
}

TEST_CASE("conntrack inserts are what was put into the table, and the rest is what procfs says") {
    auto by_fentry = Probes::open({.rungs = {{Probe::conntrack, Rung::fentry}}});
    auto by_procfs = Probes::open({.rungs = {{Probe::conntrack, Rung::procfs}}});
    if (by_fentry.rung(Probe::conntrack) == Rung::none || by_procfs.rung(Probe::conntrack) == Rung::none) {
        WARN("no two rungs of conntrack here");
        return;
    }
    const std::array<Namespace, 2> namespaces;
    const Process first(namespaces[0], [] { return std::uint64_t{0}; });
    const Process second(namespaces[1], [] { return std::uint64_t{0}; });
    for (const Namespace& netns : namespaces) track_connections(netns);
    send_datagrams(namespaces[0], 9000, 300);
    send_datagrams(namespaces[1], 9000, 20);
    send_datagrams(namespaces[1], 9000, 30); // 20 of them are known
    const auto listener = namespaces[1].inside([] { return listen_on("127.0.0.1", port, 64); });
    connect_and_close(namespaces[1], listener, port, 5);

    const std::array<std::uint64_t, 2> sent{300, 35};
    for (std::size_t i = 0; i < namespaces.size(); ++i) {
        const auto better = conntrack_of(by_fentry, namespaces[i]).value();
        const auto lower = conntrack_of(by_procfs, namespaces[i]).value();
        CHECK(better.inserts == sent[i]);
        CHECK(better.entries == sent[i]); // none was old enough to leave
        CHECK(lower.entries == better.entries);
        CHECK(lower.drops == better.drops);
        CHECK(lower.early_drops == better.early_drops);
        CHECK(lower.insert_failed == better.insert_failed);
        CHECK_FALSE(lower.inserts.has_value());
    }
}

TEST_CASE("the conntrack tables that one pass reads are those of procfs") {
    auto by_pass = Probes::open({.rungs = {{Probe::conntrack, Rung::tracepoint}}});
    if (is_blind(by_pass.rung(Probe::conntrack) == Rung::tracepoint, "conntrack tables by an iterator")) return;
    auto by_procfs = Probes::open({.rungs = {{Probe::conntrack, Rung::procfs}}});
    REQUIRE(by_procfs.rung(Probe::conntrack) == Rung::procfs);
    const Namespace used, idle, nobody;
    const Process first(used, [] { return std::uint64_t{0}; });
    const Process second(idle, [] { return std::uint64_t{0}; });
    for (const Namespace* netns : {&used, &nobody}) {
        track_connections(*netns);
        send_datagrams(*netns, 9000, 20);
    }
    {
        const HostSysctl small("/proc/sys/net/netfilter/nf_conntrack_max", 20);
        send_datagrams(used, 9100, 7);
    }
    for (const Namespace* netns : {&used, &idle, &nobody}) {
        const auto passed = conntrack_of(by_pass, *netns).value();
        const auto opened = conntrack_of(by_procfs, *netns).value();
        CHECK(passed.netns == opened.netns);
        CHECK(passed.entries == opened.entries);
        CHECK(passed.drops == opened.drops);
        CHECK(passed.early_drops == opened.early_drops);
        CHECK(passed.insert_failed == opened.insert_failed);
        CHECK(passed.chain_too_long == opened.chain_too_long);
        CHECK(passed.read.has_value() == opened.read.has_value());
    }
    CHECK(conntrack_of(by_pass, used)->entries == 20);
    CHECK(conntrack_of(by_pass, used)->drops == 7);
    CHECK(conntrack_of(by_pass, idle)->entries == 0);
    CHECK(conntrack_of(by_pass, nobody)->entries == 20);
}

TEST_CASE("a conntrack table that is full is announced") {
    auto probes = Probes::open({.rungs = {{Probe::conntrack, Rung::fentry}}, .event_interval = std::chrono::hours(1)});
    if (probes.rung(Probe::conntrack) == Rung::none) {
        WARN("no fentry for conntrack here: " << probes.as_asked().error().message);
        return;
    }
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns);
    send_datagrams(netns, 9000, 10);
    CHECK(events_of<ConntrackFullEvent>(probes, netns).empty());
    {
        const HostSysctl small("/proc/sys/net/netfilter/nf_conntrack_max", 10);
        send_datagrams(netns, 9100, 5);
    }
    CHECK(events_of<ConntrackFullEvent>(probes, netns).size() == 1);
    CHECK(conntrack_of(probes, netns).value().drops == 5);
}

TEST_CASE("what nf_conntrack counted before it was loaded again is no news, and no wrap") {
    const ConntrackProc proc;
    proc.load(7);
    auto probes = Probes::open({.rungs = {{Probe::conntrack, Rung::procfs}}, .proc_root = proc.root()});
    const std::array namespaces{proc.netns()};
    const auto evicted = [&] {
        const auto readings = probes.conntrack(namespaces).value();
        REQUIRE(readings.size() == 1);
        return readings[0].early_drops;
    };
    REQUIRE(evicted() == 7);
    proc.load(9);
    CHECK(evicted() == 9);
    SECTION("seen to be gone, it counts from its birth") {
        proc.unload();
        CHECK(probes.conntrack(namespaces).value().empty());
        proc.load(2);
        CHECK(evicted() == 2);
    }
    SECTION("gone and back between two looks, it counts from the second") {
        proc.load(2);
        CHECK(evicted() == 9);
        proc.load(3);
        CHECK(evicted() == 10);
    }
}

// These change what the machine has loaded: for a virtual one, by name.
TEST_CASE("what was asked for and can come with nf_conntrack is waited for, what cannot is refused", "[.modules]") {
    unload_conntrack();
    const auto asked = [](Rung rung) { return Probes::open({.rungs = {{Probe::conntrack, rung}}}).as_asked(); };
    const auto refused = asked(Rung::fentry);
    REQUIRE_FALSE(refused.has_value());
    CHECK(refused.error().message == "conntrack=fentry cannot be had here: nf_conntrack is not loaded");
    CHECK(asked(Rung::tracepoint).has_value());
    CHECK(asked(Rung::procfs).has_value());
    CHECK(asked(Rung::netlink).has_value());
}

TEST_CASE("nf_conntrack that is loaded later is noticed, and held while it is watched", "[.modules]") {
    unload_conntrack();
    auto probes = open_probes();
    REQUIRE(probes.rung(Probe::conntrack) == Rung::none);
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns); // loads it
    REQUIRE(conntrack_of(probes, netns).has_value());
    const bool counts_inserts = probes.rung(Probe::conntrack) == Rung::fentry;
    send_datagrams(netns, 9000, 10);
    CHECK(conntrack_of(probes, netns).value().entries == 10);
    if (counts_inserts) CHECK(conntrack_of(probes, netns).value().inserts == 10);
    shell("ip netns exec " + netns.name() + " nft delete table ip t");
    const bool unloaded = try_to_unload_conntrack();
    CHECK(unloaded == !counts_inserts);
    if (!unloaded) return;
    CHECK_FALSE(conntrack_of(probes, netns).has_value());
    CHECK(probes.rung(Probe::conntrack) == Rung::none);
}

TEST_CASE("nf_conntrack whose tables are read in one pass may go, and is read when it is loaded again", "[.modules]") {
    unload_conntrack();
    auto probes = Probes::open({.rungs = {{Probe::conntrack, Rung::tracepoint}}});
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    for (const std::uint16_t sent : {std::uint16_t{10}, std::uint16_t{3}}) {
        track_connections(netns); // loads it
        const auto first = conntrack_of(probes, netns);
        if (is_blind(probes.rung(Probe::conntrack) == Rung::tracepoint, "conntrack tables by an iterator")) return;
        REQUIRE(first.has_value());
        send_datagrams(netns, 9000, sent);
        CHECK(conntrack_of(probes, netns).value().entries == sent);
        shell("ip netns exec " + netns.name() + " nft delete table ip t");
        REQUIRE(try_to_unload_conntrack());
        CHECK_FALSE(conntrack_of(probes, netns).has_value());
        CHECK(probes.rung(Probe::conntrack) == Rung::none);
    }
}

TEST_CASE("softirq counters are those of softnet_stat") {
    auto probes = open_probes();
    REQUIRE(probes.rung(Probe::softirq) == Rung::procfs);
    CHECK(eventually([&] {
        const auto before = sys::read_file("/proc/net/softnet_stat").value();
        const auto readings = probes.softirq().value();
        if (sys::read_file("/proc/net/softnet_stat").value() != before) return false;
        const auto rows = sys::parse_softnet_stat(before).value();
        REQUIRE(readings.size() == rows.size());
        for (std::size_t i = 0; i < rows.size(); ++i) {
            CHECK(readings[i].cpu == rows[i].cpu);
            CHECK(readings[i].processed == rows[i].processed);
            CHECK(readings[i].dropped == rows[i].dropped);
            CHECK(readings[i].time_squeeze == rows[i].time_squeeze);
        }
        return true;
    }));
}

TEST_CASE("a packet dropped for a full backlog is counted, and announced") {
    auto probes = open_probes();
    const bool is_told = std::ranges::any_of(probes.ladder(), [](const probes::Step& step) {
        return step.probe == Probe::softirq && step.taken && step.reason.empty();
    });
    (void)is_blind(is_told, "single drops");
    const Namespace here;
    const Namespace there;
    connect(here, there);
    const HostSysctl none("/proc/sys/net/core/netdev_max_backlog", 1);
    const auto dropped = [&] {
        std::uint64_t sum = 0;
        const auto cpus = probes.softirq().value();
        for (const auto& cpu : cpus) sum += cpu.dropped;
        return sum;
    };
    const std::uint64_t before = dropped();
    CHECK(eventually([&] {
        send_at_one_go(here, "10.77.0.2", port);
        const bool counted = dropped() > before; // which is what it takes where the program serves nothing else
        return is_told ? !events_of<BacklogDropEvent>(probes).empty() : counted;
    }));
    CHECK(dropped() > before);
}

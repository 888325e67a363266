// SPDX-License-Identifier: Apache-2.0
// What the service counts is what the kernel counts, to the last one.
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

std::uint64_t overflows_of(const Json& top, const Site& site) {
    const Json row = row_where(top["syn_queue"], {{"netns", site.netns.inode()}});
    std::uint64_t sum = row.is_null() ? 0 : row["overflows_of_closed"].get<std::uint64_t>();
    for (const Json& listener : top["listeners"])
        if (listener["netns"] == site.netns.inode()) sum += listener["overflows"].get<std::uint64_t>();
    return sum;
}

// Waits until the counts of two looks in a row are the kernel's.
bool agrees(const Home& home, const Site& site, std::uint64_t since) {
    const auto same = [&] { return overflows_of(home.top(), site) == netstat(site.netns, "ListenOverflows") - since; };
    return comes_true([&] { return same() && same(); });
}

// More clients at once than the queue holds, from several threads, so that also last ACKs find it full.
void overflow(const Site& site, std::uint16_t at) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&site, at] { (void)site.connect(30, at); });
}

} // namespace

TEST_CASE("overflows of several listeners at once add up to the kernel's, also after one of them closed") {
    const Home home;
    home.set_policy(policy_text("counts", "mode: observe"));
    const Site site(4);
    std::array<sys::Fd, 3> listeners;
    for (std::uint16_t i = 0; i < 3; ++i) listeners[i] = site.listen(static_cast<std::uint16_t>(port + i));
    overflow(site, port); // before the start: not counted
    accept_all(listeners[0]);
    const std::uint64_t since = netstat(site.netns, "ListenOverflows");
    const Running service(home);
    CHECK(overflows_of(home.top(), site) == 0);

    for (int round = 0; round < 3; ++round) {
        std::vector<std::jthread> all;
        for (std::uint16_t i = 0; i < 3; ++i)
            all.emplace_back([&site, i] { overflow(site, static_cast<std::uint16_t>(port + i)); });
        all.clear();
        for (const auto& listener : listeners) accept_all(listener);
        CHECK(agrees(home, site, since));
    }
    CHECK(netstat(site.netns, "ListenOverflows") - since > 300);
    for (std::uint16_t i = 0; i < 3; ++i)
        CHECK(comes_true([&] { return listener_row(home.top(), site, port + i)["overflows"] > 0; }));

    overflow(site, port);
    listeners[0].reset();
    REQUIRE(comes_true([&] { return listener_row(home.top(), site, port).is_null(); }));
    CHECK(agrees(home, site, since));
    overflow(site, port + 1);
    CHECK(agrees(home, site, since));
}

TEST_CASE("the overflows of the one listener that overflows are the kernel's") {
    const Home home;
    home.set_policy(policy_text("counts", "mode: observe"));
    const Running service(home);
    const Site site(4); // it comes after the start: counted from when it is first seen
    const auto full = site.listen(port);
    const auto idle = site.listen(port + 1);
    REQUIRE(comes_true([&] { return !listener_row(home.top(), site, port).is_null(); }));
    overflow(site, port);
    REQUIRE(comes_true([&] {
        const Json row = listener_row(home.top(), site, port);
        const auto overflows = netstat(site.netns, "ListenOverflows"); // 0: the SYNs are still on their way
        return !row.is_null() && overflows > 0 && row["overflows"] == overflows;
    }));
    const Json row = listener_row(home.top(), site, port);
    CHECK(row["overflows"] > 0);
    CHECK(row["queue"] >= 5); // one more than the limit fits; two CPUs may both find the last place free
    CHECK(row["queue_peak"] == row["queue"]);
    CHECK(row["limit"] == 4);
    if (!is_blind(sees_arrivals(home), "what listen() asked for")) CHECK(row["asked"] == 1000);
    CHECK(row["binds"] == "somaxconn");
    CHECK(listener_row(home.top(), site, port + 1)["overflows"] == 0);
}

TEST_CASE("TIME_WAIT entries are the kernel's") {
    const Home home;
    home.set_policy(policy_text("counts", "mode: observe"));
    const Site site(64);
    site.netns.write("sys/net/ipv4/tcp_max_tw_buckets", "15");
    const auto listener = site.listen(port);
    const auto kernel = [&] { return netstat(site.netns, "TW") + netstat(site.netns, "TWKilled"); };
    connect_and_close(site.netns, listener, port, 1);
    const std::uint64_t since = kernel();
    const Running service(home);

    connect_and_close(site.netns, listener, port, 20);
    const auto row = [&] { return row_where(home.top()["time_wait"], {{"netns", site.netns.inode()}}); };
    REQUIRE(comes_true([&] { return row()["sockets"] == 15; })); // older kernels count the entries at their end
    CHECK(row()["entries"] == kernel() - since);
    CHECK(row()["limit"] == 15);
    CHECK(row()["overflows"] == netstat(site.netns, "TCPTimeWaitOverflow"));
    CHECK(row()["overflows"] == 6);
}

// Changes what the machine has loaded: for a virtual one, by name.
TEST_CASE("nf_conntrack that is loaded while the service runs is watched by its best rung", "[.modules]") {
    unload_conntrack();
    const Home home;
    home.set_policy(policy_text("counts", "mode: observe"));
    Running service(home);
    REQUIRE(home.top()["sources"]["conntrack"] == "unavailable");
    const Site site(64);
    track_connections(site.netns);                                     // loads it
    const Rung best = probes::Probes::open({}).rung(Probe::conntrack); // with rights that the service gave up
    CHECK(service.says(fmt::format("probe conntrack: {} taken", to_string(best))));
    CHECK(home.top()["sources"]["conntrack"] == to_string(best));
    if (best != Rung::fentry) return;
    CHECK(comes_true([&, next = std::uint16_t{9000}]() mutable {
        send_datagrams(site.netns, next, 10);
        next += 10;
        const Json row = row_where(home.top()["conntrack"], {{"netns", site.netns.inode()}});
        return !row.is_null() && row["inserts_per_second"] > 0;
    }));
}

TEST_CASE("conntrack's drops are the kernel's") {
    const LoneHome home;
    home.set_policy(policy_text("counts", "mode: observe"));
    const Site site(64);
    track_connections(site.netns);
    const auto listener = site.listen(port);
    const Running service(home);
    if (home.top()["sources"]["conntrack"] == "unavailable") return; // a kernel without it
    const NodeValue small(conntrack_max,
                          10); // while it is looked at: what is dropped far from the limit is no full table
    site.netns.inside([] {
        for (int i = 0; i < 30; ++i) {
            const sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            static_cast<void>(connect_to(socket, "127.0.0.1", port));
        }
    });
    const auto agree = [&] {
        const auto stat = sys::parse_conntrack_stat(site.netns.read("net/stat/nf_conntrack")).value();
        const Json row = row_where(home.top()["conntrack"], {{"netns", site.netns.inode()}});
        return !row.is_null() && stat.drop > 0 && row["drops"] == stat.drop && row["early_drops"] == stat.early_drop &&
               row["insert_failed"] == stat.insert_failed;
    };
    CHECK(comes_true(agree));
}

TEST_CASE("packets that a CPU's backlog has no room for are shown at once, and not at the next tick") {
    const LoneHome home;
    home.set_policy(policy_text("backlog", "mode: observe"));
    const Namespace here;
    const Namespace there;
    connect(here, there);
    const Running service(home, {.interval = "1h"});
    if (home.top()["sources"]["listen"] != "tracepoint") {
        WARN("only after a tick has found drops are others announced here");
        return;
    }
    const NodeValue small("/proc/sys/net/core/netdev_max_backlog", 1);
    const auto dropped = [&] {
        std::uint64_t sum = 0;
        const Json top = home.top();
        for (const Json& cpu : top["softirq"]) sum += cpu["dropped"].get<std::uint64_t>();
        return sum;
    };
    const std::uint64_t before = dropped();
    CHECK(comes_true([&] {
        send_at_one_go(here, "10.77.0.2", port);
        return dropped() > before;
    }));
}

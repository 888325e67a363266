// SPDX-License-Identifier: Apache-2.0
// Network namespaces that no process is in: routers, and what `ip netns` or a CNI plugin keeps.
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

// Nobody is in it; the listener's process is elsewhere.
struct Bound : Site {
    Bound() { resident.end(); }
};

} // namespace

TEST_CASE("a queue in a namespace that no process is in is raised, and put back") {
    const Home home;
    const Bound site;
    const auto listener = site.listen(port);
    home.set_policy(policy_text("bound", "mode: auto"));
    Running service(home);
    REQUIRE(comes_true([&] {
        site.burst(listener, port);
        return limit_of(listener) > 8 && limit_of(listener) == somaxconn_in(site.netns);
    }));
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
    for (const Json& line : home.restore()) CHECK(line["result"] == "restored");
    CHECK(limit_of(listener) == 8);
    CHECK(somaxconn_in(site.netns) == 8);
}

TEST_CASE("TIME_WAIT and the conntrack table of a namespace that no process is in are those of the kernel") {
    const Home home;
    home.set_policy(policy_text("bound", "mode: observe"));
    const Bound site;
    site.netns.write("sys/net/ipv4/tcp_max_tw_buckets", "1000");
    track_connections(site.netns);
    const Running service(home);
    const auto listener = site.listen(port);
    connect_and_close(site.netns, listener, port, 5);
    REQUIRE(comes_true([&] {
        const Json row = row_where(home.top()["time_wait"], {{"netns", site.netns.inode()}});
        return !row.is_null() && row["sockets"] == 5 && row["limit"] == 1000;
    }));
    if (home.top()["sources"]["conntrack"] == "unavailable") return; // a kernel without it
    const auto stat = sys::parse_conntrack_stat(site.netns.read("net/stat/nf_conntrack")).value();
    const Json row = row_where(home.top()["conntrack"], {{"netns", site.netns.inode()}});
    REQUIRE(row.is_object());
    CHECK(row["entries"] == stat.entries);
    CHECK(row["drops"] == stat.drop);
}

TEST_CASE("a conntrack table that fills in a namespace that no process is in is raised for, and put back") {
    const LoneHome home;
    if (!fs::exists(conntrack_max)) return; // nf_conntrack is not loaded
    const Bound site;
    track_connections(site.netns);
    const NodeValue max(conntrack_max, 100);
    const NodeValue buckets(conntrack_buckets);
    home.set_policy(policy_text("bound", "mode: auto\n  onExit: restore",
                                "    net.netfilter.nf_conntrack_max: {max: 16384}\n"
                                "    net.netfilter.nf_conntrack_buckets: {mode: observe}\n"
                                "    net.core.netdev_max_backlog: {mode: observe}\n"));
    Running service(home);
    const auto listener = site.listen(port);
    const auto connected = site.connect(200, port); // some wait for an answer that was dropped
    CHECK(comes_true([&] { return max.now() > 100; }));
    const Json row = row_where(home.history(), {{"tunable", "net.netfilter.nf_conntrack_max"}});
    REQUIRE(row.is_object());
    CHECK(row["why"].get<std::string>().find(fmt::format("netns {}", site.netns.inode())) != std::string::npos);
    service.signal(SIGTERM);
    CHECK(service.wait() == 0);
}

// SPDX-License-Identifier: Apache-2.0
// What the service does for a conntrack table of idle connections whose limit may go no further.
#include <string>
#include <vector>

#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
constexpr std::uint64_t limit = 300;
constexpr const char* file = "sys/net/netfilter/nf_conntrack_tcp_timeout_established";
constexpr const char* tunable = "net.netfilter.nf_conntrack_tcp_timeout_established";
const std::string full = fmt::format("    net.netfilter.nf_conntrack_max: {{max: {}}}\n"
                                     "    net.netfilter.nf_conntrack_buckets: {{mode: observe}}\n"
                                     "    net.core.netdev_max_backlog: {{mode: observe}}\n",
                                     limit);
const std::string named = std::string("    ") + tunable + ": {}\n";

// Connections that fill the table but for a fifteenth. They got a timeout of 10,000 s, which is the kernel's 5 days
// now: so they look as if they had been idle for all but those.
struct Idle {
    Namespace netns;
    Process resident{netns, [] { return std::uint64_t{0}; }};
    sys::Fd listener;
    std::vector<sys::Fd> connected;

    Idle() {
        track_connections(netns);
        netns.write(file, "10000");
        listener = netns.inside([] { return listen_on("127.0.0.1", port, 1024); });
        connected = netns.inside([] { return clients(280, "127.0.0.1", port); });
        netns.write(file, "432000");
    }
    // Of those that were found.
    [[nodiscard]] Json row(const Home& home) const {
        return row_where(home.top()["conntrack"], {{"netns", netns.inode()}});
    }
};

Json change_in(const Home& home) { return row_where(home.history(), {{"tunable", tunable}}); }

} // namespace

TEST_CASE("the timeout of a table full of idle connections is lowered where the policy names it, and comes back") {
    if (!fs::exists(conntrack_max)) return; // nf_conntrack is not loaded
    const LoneHome home;
    home.set_policy(policy_text("timeouts", "mode: auto", full + named));
    const Idle idle;
    const NodeValue max(conntrack_max, limit);
    const Running service(home);
    const bool lowered = comes_true([&] { return idle.netns.read(file) == "15075\n"; });
    INFO(home.top()["conntrack"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(lowered);
    CHECK(max.now() == limit);
    const Json row = idle.row(home);
    CHECK(row["tcp_entries"] == 280);
    CHECK(row["established_entries"] == 280);
    CHECK(row["established_needed_seconds"] == 15075);
    const Json change = change_in(home);
    CHECK(change["state"] == "applied");
    CHECK(mentions(change["why"], "100 % are ESTABLISHED, 100 % without a packet for 15075 s or more"));
    CHECK(mentions(change["why"], "lowered from 432000 s to 15075 s"));

    CHECK(comes_true([&] { return idle.row(home)["established_timeout_seconds"] == 15075; }));
    CHECK(idle.row(home)["established_entries"] == 280); // it frees nothing that is there
    REQUIRE(home.restore().size() == 1);
    CHECK(idle.netns.read(file) == "432000\n");
}

TEST_CASE("a timeout is not lowered below what the keepalive of its namespace needs", "[any-kernel]") {
    if (!fs::exists(conntrack_max)) return;
    const LoneHome home;
    home.set_policy(policy_text("timeouts", "mode: auto\n  onExit: restore", full + named));
    const Idle idle;
    idle.netns.write("sys/net/ipv4/tcp_keepalive_time", "86400");
    const NodeValue max(conntrack_max, limit);
    const Running service(home);
    REQUIRE(comes_true([&] { return change_in(home).is_object(); }));
    CHECK(comes_true([&] { return idle.netns.read(file) == "173475\n"; })); // 2 x 86,400 + 9 x 75
}

TEST_CASE("a timeout that the policy does not name is left alone, and what it would be is said", "[any-kernel]") {
    if (!fs::exists(conntrack_max)) return;
    const LoneHome home;
    home.set_policy(policy_text("timeouts", "mode: auto", full));
    const Idle idle;
    const NodeValue max(conntrack_max, limit);
    const Running service(home);
    REQUIRE(comes_true([&] { return change_in(home).is_object(); }));
    CHECK(change_in(home)["state"] == "advice");
    CHECK(mentions(change_in(home)["why"], "named in the policy, it would be lowered from 432000 s to 15075 s"));
    CHECK(idle.netns.read(file) == "432000\n");
}

// Connections of which one end has closed its own, or both have. They got a timeout that is shorter than the one that
// is set now: so they look as if they had been idle for the difference.
TEST_CASE("the timeout of a table full of connections that have ended is lowered where the policy names it") {
    if (!fs::exists(conntrack_max)) return;
    const bool both = GENERATE(false, true);
    const std::string state = both ? "time_wait" : "close_wait";
    const std::string seconds = both ? "120" : "3600"; // any longer one is somebody's wish
    const std::string of_state = "sys/net/netfilter/nf_conntrack_tcp_timeout_" + state;
    const std::string name = "net.netfilter.nf_conntrack_tcp_timeout_" + state;
    const LoneHome home;
    home.set_policy(policy_text("timeouts", "mode: auto", full + "    " + name + ": {}\n"));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns);
    netns.write(of_state, both ? "50" : "1000");
    const auto listener = netns.inside([] { return listen_on("127.0.0.1", port, 1024); });
    auto connected = netns.inside([] { return clients(280, "127.0.0.1", port); });
    std::vector<sys::Fd> accepted;
    while (accepted.size() < connected.size()) accepted.push_back(accept_one(listener));
    connected.clear();
    if (both) accepted.clear();
    netns.write(of_state, seconds);
    const NodeValue max(conntrack_max, limit);
    const Running service(home);
    const bool lowered = comes_true([&] { return netns.read(of_state) == "60\n"; });
    INFO(home.top()["conntrack"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(lowered);
    CHECK(row_where(home.top()["conntrack"], {{"netns", netns.inode()}})[state + "_entries"] == 280);
    CHECK(mentions(row_where(home.history(), {{"tunable", name}})["why"], "lowered from " + seconds + " s to 60 s"));
    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read(of_state) == seconds + "\n");
}

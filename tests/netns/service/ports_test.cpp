// SPDX-License-Identifier: Apache-2.0
// What the service does for clients that find no local port.
#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
constexpr const char* file = "sys/net/ipv4/ip_local_port_range";
constexpr const char* tunable = "net.ipv4.ip_local_port_range";
constexpr const char* named = "    net.ipv4.ip_local_port_range: {max: 5536}\n";

// So many connects to the listener, each of which stays. How many found no port.
class Clients {
public:
    explicit Clients(const Namespace& netns)
        : netns_(netns), listener_(netns.inside([] { return listen_on("127.0.0.1", port, 4096); })) {}

    int connect(int count) {
        return without_port(count, [this](sys::Fd socket) { open_.push_back(std::move(socket)); });
    }
    // Each ends at once, by its client: what is left of it is in TIME_WAIT.
    int connect_and_close(int count) {
        return without_port(count, [](sys::Fd /*closed*/) {});
    }

private:
    template <class Take> int without_port(int count, Take take) {
        return netns_.inside([&] {
            int without_port = 0;
            for (int i = 0; i < count; ++i) {
                sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
                if (connect_to(socket, "127.0.0.1", port) == EADDRNOTAVAIL)
                    ++without_port;
                else
                    take(std::move(socket));
            }
            accept_all(listener_);
            return without_port;
        });
    }

    const Namespace& netns_;
    sys::Fd listener_;
    std::vector<sys::Fd> open_;
};

Json change_in(const Json& history, const std::string& state) {
    return row_where(history, {{"tunable", tunable}, {"state", state}});
}

// Of a lower rung, or without the right.
bool is_unseen(const Home& home) { return home.top()["sources"]["time_wait"] == "procfs"; }

} // namespace

TEST_CASE(
    "a namespace whose connects find no port gets more, down to the port that is listened at, and they come back") {
    const Home home;
    home.set_policy(policy_text("ports", "mode: auto", named));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write(file, "40000 40049");
    const auto server = netns.inside([] { return listen_on("0.0.0.0", 39000, 16); });
    Clients clients(netns);
    const Running service(home);
    if (is_unseen(home)) return;
    const bool raised = comes_true([&] {
        clients.connect(30);
        return netns.read(file) != "40000\t40049\n";
    });
    INFO(home.top()["time_wait"].dump(1) << service.err());
    REQUIRE(raised);
    CHECK(netns.read(file) == "39001\t40049\n");
    CHECK(clients.connect(30) == 0);
    const Json raise = change_in(home.history(), "applied");
    REQUIRE(raise.is_object());
    CHECK(raise["from"] == "40000");
    CHECK(raise["to"] == "39001");
    CHECK(mentions(raise["why"], "all from 40000 to 40049 are taken towards 127.0.0.1:8080"));

    netns.write(file, "39001 41000"); // what somebody else has made of the last one stays
    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read(file) == "40000\t41000\n");
}

TEST_CASE(
    "a range is widened down to the port that a UDP socket has, and one given back leaves UDP's in it as they are") {
    const Home home;
    home.set_policy(policy_text("ports", "mode: auto", named));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write(file, "40000 40049");
    const auto server = netns.inside([] { return listen_on("0.0.0.0", 39000, 16); });
    const auto datagrams = netns.inside([] { return datagram_socket("0.0.0.0", 39500); });
    Clients clients(netns);
    const Running service(home);
    if (is_unseen(home)) return;
    const bool raised = comes_true([&] {
        clients.connect(30);
        return netns.read(file) != "40000\t40049\n";
    });
    INFO(home.top()["time_wait"].dump(1) << service.err());
    REQUIRE(raised);
    CHECK(netns.read(file) == "39501\t40049\n");

    std::vector<sys::Fd> chosen;
    for (int i = 0; i < 549 && (chosen.empty() || port_of(chosen.back()) >= 40000); ++i)
        chosen.push_back(netns.inside([] { return datagram_socket("127.0.0.1", 0); }));
    const sys::Fd& kept = chosen.back();
    REQUIRE(port_of(kept) < 40000);
    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read(file) == "40000\t40049\n");
    netns.inside([&] {
        const sys::Fd sender(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        must(connect_to(sender, "127.0.0.1", port_of(kept)) == 0, "connect");
        must(::send(sender.value(), "x", 1, 0) == 1, "send");
    });
    char byte = 0;
    REQUIRE(await(kept, POLLIN));
    CHECK(::recv(kept.value(), &byte, 1, 0) == 1);
}

TEST_CASE("a range that somebody made smaller than the kernel's stays so where the policy does not name it",
          "[any-kernel]") {
    const Home home;
    home.set_policy(policy_text("ports", "mode: auto"));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write(file, "40000 40049");
    Clients clients(netns);
    const Running service(home);
    if (is_unseen(home)) return;
    REQUIRE(comes_true([&] {
        clients.connect(30);
        return change_in(home.history(), "recommended").is_object();
    }));
    CHECK(mentions(change_in(home.history(), "recommended")["why"], "needs net.ipv4.ip_local_port_range named"));
    CHECK(netns.read(file) == "40000\t40049\n");
}

TEST_CASE("ports in TIME_WAIT are taken again where the policy names that, and not the range") {
    const Home home;
    home.set_policy(policy_text("ports", "mode: auto", "    net.ipv4.tcp_tw_reuse: {}\n"));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    netns.write(file, "40000 40049");
    netns.write("sys/net/ipv4/tcp_tw_reuse", "0");
    Clients clients(netns);
    const Running service(home);
    if (is_unseen(home)) return;
    const bool reused = comes_true([&] {
        clients.connect_and_close(60);
        return netns.read("sys/net/ipv4/tcp_tw_reuse") == "1\n";
    });
    INFO(home.top()["time_wait"].dump(1) << service.err());
    REQUIRE(reused);
    CHECK(netns.read(file) == "40000\t40049\n");
    const Json raise = row_where(home.history(), {{"tunable", "net.ipv4.tcp_tw_reuse"}});
    CHECK(raise["from"] == "0");
    CHECK(raise["to"] == "1");
    // A second after they ended: one who asks more often takes each port as soon as it may be had, and never finds
    // thirty.
    CHECK(comes_true([&] {
        std::this_thread::sleep_for(std::chrono::milliseconds(2500));
        return clients.connect_and_close(30) == 0;
    }));

    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read("sys/net/ipv4/tcp_tw_reuse") == "0\n");
}

TEST_CASE("ports in TIME_WAIT are taken again sooner where the kernel and the policy let them") {
    const Home home;
    home.set_policy(policy_text("ports", "mode: auto", "    net.ipv4.tcp_tw_reuse_delay: {}\n"));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    constexpr const char* delay = "sys/net/ipv4/tcp_tw_reuse_delay";
    if (!netns.inside([&] { return std::filesystem::exists(fmt::format("/proc/{}", delay)); })) return; // before 6.14
    netns.write(file, "40000 40049");
    netns.write("sys/net/ipv4/tcp_tw_reuse", "1");
    Clients clients(netns);
    const Running service(home);
    if (is_unseen(home)) return;
    const bool sooner = comes_true([&] {
        clients.connect_and_close(60);
        return netns.read(delay) != "1000\n";
    });
    INFO(home.top()["time_wait"].dump(1) << service.err());
    REQUIRE(sooner);
    const Json raise = row_where(home.history(), {{"tunable", "net.ipv4.tcp_tw_reuse_delay"}});
    CHECK(raise["from"] == "1000");
    CHECK(raise["to"] == netns.read(delay).substr(0, netns.read(delay).size() - 1));
    CHECK(mentions(raise["why"], "may be taken again after 1000 ms"));
    CHECK(netns.read(file) == "40000\t40049\n");

    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read(delay) == "1000\n");
}

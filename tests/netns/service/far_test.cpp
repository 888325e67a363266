// SPDX-License-Identifier: Apache-2.0
// What the service does for clients that are a long way off.
#include <deque>

#include "netns/cli/delay_line.hpp"
#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;

// 40 clients at once, ten times a second at most, each of whom stays for longer than a SYN is sent again.
class Clients {
public:
    explicit Clients(const DelayLine& line) : line_(line) {}

    void come(const sys::Fd& listener) {
        accept_all(listener);
        const auto now = std::chrono::steady_clock::now();
        if (!waves_.empty() && now - waves_.back().first < std::chrono::milliseconds(100)) return;
        waves_.push_back({now, line_.near().inside([] { return clients(40, far_address, port); })});
        if (now - waves_.front().first > std::chrono::seconds(2)) waves_.pop_front();
    }

private:
    const DelayLine& line_;
    std::deque<std::pair<std::chrono::steady_clock::time_point, std::vector<sys::Fd>>> waves_;
};

} // namespace

TEST_CASE("a tcp_max_syn_backlog that refuses clients far away is raised where no cookies are sent", "[any-kernel]") {
    const std::string syn_backlog = "sys/net/ipv4/tcp_max_syn_backlog";
    const Home home;
    home.set_policy(policy_text("far", "mode: auto"));
    const DelayLine line({"--delay", "25ms"});
    const Namespace& far = line.far();
    const Process resident(far, [] { return std::uint64_t{0}; });
    far.write("sys/net/ipv4/tcp_syncookies", "0");
    far.write("sys/net/ipv4/tcp_no_metrics_save", "1"); // each of them is new: those that are known are let in
    far.write(syn_backlog, "16");
    far.write("sys/net/core/somaxconn", "4096");
    const auto listener = far.inside([] { return listen_on(far_address, port, 4096); });
    const auto value = [&] { return std::stoul(far.read(syn_backlog)); };
    const Running service(home);

    Clients clients(line);
    const bool raised = comes_true([&] {
        clients.come(listener);
        return value() > 16;
    });
    INFO(home.top().dump(1) << service.err());
    REQUIRE(raised);
    CHECK(value() >= 64);
    const Json history = home.history();
    const auto raise = std::ranges::find(history, "net.ipv4.tcp_max_syn_backlog",
                                         [](const Json& change) { return change["tunable"].get<std::string>(); });
    REQUIRE(raise != history.end());
    CHECK(mentions((*raise)["why"], "tcp_max_syn_backlog, 16, binds, because tcp_syncookies is 0"));
    CHECK((*raise)["evidence"]["syn_dropped"].get<std::uint64_t>() > 0);

    CHECK(home.restore().size() == 1);
    CHECK(value() == 16);
}

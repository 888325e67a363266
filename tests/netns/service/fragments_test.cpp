// SPDX-License-Identifier: Apache-2.0
// What the service does where fragments find no room.
#include <atomic>

#include "netns/probes/fragments.hpp"
#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr const char* named = "    net.ipv4.ipfrag_high_thresh: {max: 64MiB}\n"
                              "    net.ipv6.ip6frag_high_thresh: {max: 64MiB}\n";
constexpr int at_once = 16;

std::string file_of(int family, const std::string& what) {
    return (family == AF_INET ? "sys/net/ipv4/ipfrag_" : "sys/net/ipv6/ip6frag_") + what;
}

std::string tunable_of(int family) {
    return family == AF_INET ? "net.ipv4.ipfrag_high_thresh" : "net.ipv6.ip6frag_high_thresh";
}

// Room for ten and a half such datagrams. What is not completed is given up after a second.
std::uint64_t make_small(const Namespace& netns, int family) {
    netns.write(file_of(family, "low_thresh"), "1000");
    netns.write(file_of(family, "time"), "1");
    FragmentSender sender(netns, family);
    sender.begin(1);
    const std::uint64_t limit = sender.memory() * 21 / 2;
    sender.complete();
    netns.write(file_of(family, "high_thresh"), std::to_string(limit));
    return limit;
}

// Sends until its end.
class Traffic {
public:
    Traffic(const Namespace& netns, int family, bool completes)
        : sender_(netns, family), thread_([this, completes] { run(completes); }) {}
    Traffic(const Traffic&) = delete;
    Traffic& operator=(const Traffic&) = delete;
    ~Traffic() {
        stop_ = true;
        thread_.join();
    }

    [[nodiscard]] std::uint64_t failed() const {
        return sender_.counter("ReasmFails") - sender_.counter("ReasmTimeout");
    }
    [[nodiscard]] int rounds() const { return rounds_; }

private:
    void run(bool completes) {
        for (int i = 0; completes && i < 10; ++i) { // who these are is known before the table is full
            sender_.begin(4);
            sender_.complete();
        }
        while (!stop_) {
            sender_.begin(at_once);
            ::poll(nullptr, 0, 600);
            if (completes) sender_.complete();
            ++rounds_;
        }
    }

    FragmentSender sender_;
    std::atomic<bool> stop_ = false;
    std::atomic<int> rounds_ = 0;
    std::thread thread_;
};

Json change_in(const Json& history, int family, const std::string& state) {
    return row_where(history, {{"tunable", tunable_of(family)}, {"state", state}});
}

bool is_unseen(const Home& home) { return home.top()["sources"]["time_wait"] == "procfs"; }

} // namespace

TEST_CASE("fragments of datagrams that are completed get room where there is none, and no more are lost") {
    const int family = GENERATE(AF_INET, AF_INET6);
    const std::string file = file_of(family, "high_thresh");
    const Home home;
    home.set_policy(policy_text("fragments", "mode: auto", named));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const std::uint64_t limit = make_small(netns, family);
    const std::string before = netns.read(file);
    const Running service(home);
    if (is_unseen(home)) return;
    const Traffic traffic(netns, family, true);
    const bool raised = comes_true([&] { return netns.read(file) != before; });
    INFO(home.top()["fragments"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(raised);
    const std::uint64_t room = std::stoull(netns.read(file));
    CHECK(room >= 2 * limit);
    CHECK(room <= 5 * limit); // four times it, rounded up
    const auto whole_rounds = [&](int more) {
        const int until = traffic.rounds() + more;
        return comes_true([&] { return traffic.rounds() >= until; });
    };
    REQUIRE(whole_rounds(6)); // what had lost a part before is given up
    const std::uint64_t failed = traffic.failed();
    REQUIRE(whole_rounds(3));
    CHECK(traffic.failed() == failed);
    CHECK(change_in(home.history(), family, "applied")["to"] == std::to_string(room));

    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read(file) == before);
}

TEST_CASE("fragments that are never completed get no room, which is said", "[any-kernel]") {
    const std::string file = file_of(AF_INET, "high_thresh");
    const Home home;
    home.set_policy(policy_text("fragments", "mode: auto", named));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    make_small(netns, AF_INET);
    const std::string before = netns.read(file);
    const Running service(home);
    if (is_unseen(home)) return;
    const Traffic flood(netns, AF_INET, false);
    const bool said = comes_true([&] { return change_in(home.history(), AF_INET, "advice").is_object(); });
    INFO(home.top()["fragments"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(said);
    CHECK(mentions(change_in(home.history(), AF_INET, "advice")["why"],
                   "does not complete them, and would fill any limit"));
    CHECK(netns.read(file) == before);
    CHECK(change_in(home.history(), AF_INET, "applied").is_null());
}

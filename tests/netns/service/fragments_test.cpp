// SPDX-License-Identifier: Apache-2.0
// What the service does where fragments find no room.
#include <atomic>

#include "netns/probes/fragments.hpp"
#include "netns/service/fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr const char* file = "sys/net/ipv4/ipfrag_high_thresh";
constexpr const char* tunable = "net.ipv4.ipfrag_high_thresh";
constexpr const char* named = "    net.ipv4.ipfrag_high_thresh: {max: 64MiB}\n";
constexpr int at_once = 16;

// Room for ten and a half such datagrams. What is not completed is given up after two seconds.
std::uint64_t make_small(const Namespace& netns) {
    netns.write("sys/net/ipv4/ipfrag_low_thresh", "1000");
    netns.write("sys/net/ipv4/ipfrag_time", "2");
    FragmentSender sender(netns, AF_INET);
    sender.begin(1);
    const std::uint64_t limit = sender.memory() * 21 / 2;
    sender.complete();
    netns.write(file, std::to_string(limit));
    return limit;
}

// Sends until its end.
class Traffic {
public:
    Traffic(const Namespace& netns, bool completes)
        : sender_(netns, AF_INET), thread_([this, completes] { run(completes); }) {}
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

Json change_in(const Json& history, const std::string& state) {
    return row_where(history, {{"tunable", tunable}, {"state", state}});
}

bool is_unseen(const Home& home) { return home.top()["sources"]["time_wait"] == "procfs"; }

} // namespace

TEST_CASE("fragments of datagrams that are completed get room where there is none, and no more are lost") {
    const Home home;
    home.set_policy(policy_text("fragments", "mode: auto", named));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const std::uint64_t limit = make_small(netns);
    const std::string before = netns.read(file);
    const Running service(home);
    if (is_unseen(home)) return;
    const Traffic traffic(netns, true);
    const bool raised = comes_true([&] { return netns.read(file) != before; });
    INFO(home.top()["fragments"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(raised);
    CHECK(std::stoull(netns.read(file)) == std::bit_ceil(2 * limit));
    const auto whole_rounds = [&](int more) {
        const int until = traffic.rounds() + more;
        return comes_true([&] { return traffic.rounds() >= until; });
    };
    REQUIRE(whole_rounds(3)); // what had lost a part before is given up
    const std::uint64_t failed = traffic.failed();
    REQUIRE(whole_rounds(3));
    CHECK(traffic.failed() == failed);
    CHECK(change_in(home.history(), "applied")["to"] == std::to_string(std::bit_ceil(2 * limit)));

    REQUIRE(home.restore().size() == 1);
    CHECK(netns.read(file) == before);
}

TEST_CASE("fragments that are never completed get no room, which is said") {
    const Home home;
    home.set_policy(policy_text("fragments", "mode: auto", named));
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    make_small(netns);
    const std::string before = netns.read(file);
    const Running service(home);
    if (is_unseen(home)) return;
    const Traffic flood(netns, false);
    const bool said = comes_true([&] { return change_in(home.history(), "advice").is_object(); });
    INFO(home.top()["fragments"].dump(1) << home.history().dump(1) << service.err());
    REQUIRE(said);
    CHECK(mentions(change_in(home.history(), "advice")["why"], "does not complete them, and would fill any limit"));
    CHECK(netns.read(file) == before);
    CHECK(change_in(home.history(), "applied").is_null());
}

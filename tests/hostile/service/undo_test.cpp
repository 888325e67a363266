// SPDX-License-Identifier: Apache-2.0
// Many values that are raised, of processes that may be gone or keep their sockets locked: a service starts with them,
// and puts them back within the time that systemd gives.
#include <catch2/catch.hpp>

#include "crowd.hpp"
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

// deploy/bpftune-k8s.service: TimeoutStopSec is 30 s, and so is terminationGracePeriodSeconds; the start-up probe
// waits for 60 s.
constexpr Nanoseconds longest_stop = 28s;
constexpr Nanoseconds longest_start = 30s;
constexpr Nanoseconds longest_of_10000 = 20s; // what docs/operations.md says, on a machine with others

Nanoseconds time_of(const std::function<void()>& work) {
    const MonoTime begun = sys::now().mono;
    work();
    const Nanoseconds took = sys::now().mono - begun;
    UNSCOPED_INFO("took " << Seconds(took).count() << " s");
    return took;
}

struct Raised {
    Home home;
    Crowd crowd;
    std::unique_ptr<Service> service;

    Raised(std::size_t namespaces, std::size_t listeners) : crowd(namespaces, listeners) {
        home.set_policy(policy_text("undo", "mode: auto\n  onExit: restore"));
        crowd.raise(home.state());
    }
    void start() {
        service = std::make_unique<Service>(home);
        CHECK(time_of([&] { service->await_ready(); }) <= longest_start);
    }
    // None is later than it may be after the one before.
    void ticks_go_on() const {
        for (int i = 0; i < 5; ++i) CHECK(comes_next_tick());
    }
    [[nodiscard]] bool comes_next_tick() const {
        const std::string last = home.top()["time"];
        const MonoTime begun = sys::now().mono;
        while (home.top()["time"] == last) {
            if (sys::now().mono - begun > longest_between_ticks) return false;
            std::this_thread::sleep_for(100ms);
        }
        return true;
    }
    [[nodiscard]] Nanoseconds stop() const {
        return time_of([&] {
            service->signal(SIGTERM);
            CHECK(service->wait() == 0);
        });
    }
    [[nodiscard]] std::vector<actuators::Holding> held() const {
        return take(take(actuators::Journal::open_read_only(home.state(), take(service::boot_id()))).holdings());
    }
};

// Of those that `restore` prints.
std::size_t count(const Json& lines, const std::string& result) {
    return static_cast<std::size_t>(
        std::ranges::count_if(lines, [&](const Json& line) { return line["result"] == result; }));
}

} // namespace

TEST_CASE("10,000 values are adopted at the start and put back at the end") {
    Raised raised(100, 99);
    raised.start();
    raised.ticks_go_on();
    CHECK(raised.crowd.back() == 0);
    CHECK(raised.stop() <= longest_of_10000);
    CHECK(raised.crowd.back() == raised.crowd.values());
    CHECK(raised.held().empty());
    CHECK(raised.service->err().contains("10000 values: 10000 restored"));
}

TEST_CASE("10,000 values of one network namespace are put back at the end") {
    Raised raised(10, 999);
    raised.start();
    CHECK(raised.stop() <= longest_of_10000);
    CHECK(raised.crowd.back() == raised.crowd.values());
    CHECK(raised.held().empty());
}

TEST_CASE("who is killed while 10,000 values are put back leaves the rest to the next") {
    Raised raised(100, 99);
    raised.start();
    raised.service->signal(SIGTERM);
    CHECK(comes_true([&] { return raised.held().size() < raised.crowd.values(); }));
    raised.service->kill();
    REQUIRE_FALSE(raised.held().empty());
    SECTION("which is `restore`") {
        const Ran ran = raised.home.restored();
        CHECK(ran.status == 0);
        CHECK(raised.crowd.back() == raised.crowd.values());
    }
    SECTION("which is the next start") {
        raised.home.set_policy(policy_text("undo", "mode: observe"));
        raised.start();
        CHECK(comes_true([&] { return raised.held().empty(); }));
        CHECK(raised.crowd.back() == raised.crowd.values());
    }
}

TEST_CASE("a running service that is asked to put 10,000 values back goes on with its ticks") {
    Raised raised(100, 99);
    raised.start();
    const Ran ran = raised.home.restored();
    const Json lines = Json::parse(ran.out);
    CHECK(lines.size() == raised.crowd.values());
    CHECK(count(lines, "restored") + count(lines, "not_reached") == lines.size());
    CHECK(ran.status == (count(lines, "not_reached") > 0 ? 1 : 0));
    raised.ticks_go_on();
    CHECK(comes_true([&] { return raised.held().empty(); }));
    CHECK(raised.crowd.back() == raised.crowd.values());
}

TEST_CASE("10,000 values of processes that have ended delay neither start, ticks nor end") {
    Raised raised(100, 99);
    raised.crowd.end();
    raised.start();
    raised.ticks_go_on();
    CHECK(raised.stop() <= longest_stop);
    for (int i = 0; i < 5 && !raised.held().empty(); ++i) { // what one has no time for is the next one's
        raised.start();
        CHECK(raised.stop() <= longest_stop);
    }
    CHECK(raised.held().empty());
}

TEST_CASE("100 listeners that are kept locked among 1,000 keep nobody else from being put back") {
    const std::size_t hostile = GENERATE(1, 5);
    INFO(hostile << " hostile network namespaces");
    Raised raised(10, 100);
    // Those that are put back first.
    for (std::size_t i = 0; i < hostile; ++i) raised.crowd.lock(9 - i, static_cast<int>(100 / hostile));
    raised.start();
    raised.ticks_go_on();
    CHECK(raised.stop() <= longest_stop);
    CHECK(raised.crowd.back(10 - hostile, 10) == (10 - hostile) * 101);
    const auto held = raised.held();
    CHECK(held.size() >= 100);
    CHECK(held.size() <= hostile * 101);
    for (const actuators::Holding& each : held) CHECK(each.undoing);
    CHECK(raised.service->err().contains("values are not back yet"));
}

// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "controller/accept_queue.hpp"
#include "controller/invariants.hpp"
#include "controller/step.hpp"
#include "controller/trial.hpp"

using namespace bpftune;
using namespace std::chrono_literals;
using controller::findings_an_hour_of_netns;
using controller::State;
using policy::Mode;

namespace {

constexpr NetnsId shop{.cookie = 7, .inode = 4026532247};

MonoTime at(Nanoseconds since_start) { return MonoTime(1h + since_start); }

// nginx on a node as it comes: somaxconn 128, nginx asked for 65535.
Listener nginx() {
    Listener listener;
    listener.netns = shop;
    listener.cookie = 99;
    listener.local = {"0.0.0.0", 8080};
    listener.pid = 712;
    listener.fd = 6;
    listener.command = "nginx";
    listener.somaxconn = listener.limit = 128;
    listener.asked = 65535;
    listener.binds = Binds::somaxconn;
    return listener;
}

policy::Policy automatic() {
    policy::Policy policy;
    policy.mode = Mode::automatic;
    return policy;
}

policy::Policy allowing_backlog() {
    policy::Policy policy = automatic();
    policy.of(TunableId::listener_backlog).named = true;
    return policy;
}

Snapshot snapshot_of(Snapshot::Cause cause, MonoTime time, std::vector<Listener> listeners) {
    Snapshot snapshot;
    snapshot.cause = cause;
    snapshot.time.mono = time;
    snapshot.interval = 1s;
    snapshot.memory_bytes = std::uint64_t{16} << 30;
    for (const Listener& listener : listeners) {
        NetnsTcp tcp;
        tcp.netns = listener.netns;
        tcp.somaxconn = listener.somaxconn;
        if (std::ranges::find(snapshot.tcp, tcp.netns, &NetnsTcp::netns) == snapshot.tcp.end())
            snapshot.tcp.push_back(tcp);
    }
    snapshot.listeners = std::move(listeners);
    return snapshot;
}

// A queue that reached `depth` within eight milliseconds.
Snapshot pressure(Listener listener, std::uint32_t depth, MonoTime time) {
    listener.queue = depth;
    listener.read = time;
    listener.window = {.length = 8ms, .peak = depth, .arrivals = depth + 5, .accepted = 5, .event = time};
    return snapshot_of(Snapshot::Cause::pressure, time, {listener});
}

// The burst is over: it peaked at `peak` and lost `lost`.
Snapshot after_burst(Listener listener, std::uint32_t peak, std::uint64_t lost, MonoTime time) {
    listener.queue = 0;
    listener.read = time;
    listener.window = {.length = 40ms, .peak = peak, .arrivals = 1000, .accepted = 1000, .overflows = lost};
    return snapshot_of(Snapshot::Cause::pressure, time, {listener});
}

Snapshot tick(Listener listener, QueueWindow window, MonoTime time) {
    listener.read = time;
    listener.window = window;
    return snapshot_of(Snapshot::Cause::tick, time, {listener});
}

struct Written {
    TunableId tunable;
    std::uint64_t from;
    std::uint64_t to;
    bool operator==(const Written&) const = default;
};
std::ostream& operator<<(std::ostream& out, const Written& written) {
    return out << static_cast<int>(written.tunable) << ": " << written.from << " -> " << written.to;
}

std::vector<Written> writes(const std::vector<Decision>& decisions) {
    std::vector<Written> result;
    for (const Decision& decision : decisions)
        if (decision.act == Decision::Act::write) result.push_back({decision.tunable, decision.from, decision.to});
    return result;
}

std::vector<Decision> of_act(const std::vector<Decision>& decisions, Decision::Act act) {
    std::vector<Decision> result;
    std::ranges::copy_if(decisions, std::back_inserter(result), [&](const Decision& d) { return d.act == act; });
    return result;
}

// Decides, and has every write succeed a millisecond later.
std::vector<Decision> act(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now) {
    auto decisions = step(policy, state, snapshot, now);
    for (const Decision& decision : decisions)
        if (decision.act == Decision::Act::write)
            settle(state, decision, {.kind = Outcome::Kind::written, .value = decision.to}, now + 1ms);
    return decisions;
}

} // namespace

TEST_CASE("raises somaxconn and grants it at the first pressure, to four times the limit") {
    State state;
    const auto decisions = act(automatic(), state, pressure(nginx(), 65, at(0s)), at(0s));
    CHECK(writes(decisions) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 512}, {TunableId::listener_backlog, 128, 512}});
    REQUIRE(!decisions.empty());
    CHECK(decisions.front().why ==
          "accept queue of 0.0.0.0:8080 (nginx) reached 65 of 128 while it was being accepted from");
}

TEST_CASE("does nothing below half of the limit") {
    State state;
    CHECK(act(automatic(), state, pressure(nginx(), 64, at(0s)), at(0s)).empty());
}

TEST_CASE("corrects once when the burst is over, in spite of the cooldown, and then stays") {
    State state;
    act(automatic(), state, pressure(nginx(), 65, at(0s)), at(0s));
    Listener raised = nginx();
    raised.somaxconn = raised.limit = 512;
    const auto correction = act(automatic(), state, after_burst(raised, 513, 600, at(40ms)), at(40ms));
    CHECK(writes(correction) ==
          std::vector<Written>{{TunableId::somaxconn, 512, 4096}, {TunableId::listener_backlog, 512, 4096}});

    raised.somaxconn = raised.limit = 4096;
    CHECK(act(automatic(), state, pressure(raised, 1400, at(250ms)), at(250ms)).empty());
    CHECK(act(automatic(), state, after_burst(raised, 1400, 0, at(290ms)), at(290ms)).empty());
}

TEST_CASE("leaves the limit when the burst needed no more than the first raise gave") {
    State state;
    act(automatic(), state, pressure(nginx(), 65, at(0s)), at(0s));
    Listener raised = nginx();
    raised.somaxconn = raised.limit = 512;
    CHECK(act(automatic(), state, after_burst(raised, 200, 0, at(40ms)), at(40ms)).empty());
}

TEST_CASE("does not count a loss again at the tick that an earlier raise has answered") {
    State state;
    act(automatic(), state, pressure(nginx(), 65, at(0s)), at(0s));
    Listener raised = nginx();
    raised.somaxconn = raised.limit = 512;
    act(automatic(), state, after_burst(raised, 129, 284, at(40ms)), at(40ms));
    raised.somaxconn = raised.limit = 1024;
    const QueueWindow both{.length = 1s, .peak = 360, .floor = 0, .arrivals = 6000, .accepted = 6000, .overflows = 284};
    CHECK(act(automatic(), state, tick(raised, both, at(900ms)), at(900ms)).empty());
}

TEST_CASE("ignores events from before its last write") {
    State state;
    act(automatic(), state, pressure(nginx(), 65, at(0s)), at(0s));
    CHECK(act(automatic(), state, pressure(nginx(), 100, at(500us)), at(2ms)).empty());
}

TEST_CASE("doubles what waits once the demand is known") {
    State state;
    const policy::Policy policy = automatic();
    act(policy, state, pressure(nginx(), 65, at(0s)), at(0s));
    Listener raised = nginx();
    raised.somaxconn = raised.limit = 512;
    act(policy, state, after_burst(raised, 200, 0, at(40ms)), at(40ms));
    const auto later = act(policy, state, pressure(raised, 300, at(1min)), at(1min));
    CHECK(writes(later) ==
          std::vector<Written>{{TunableId::somaxconn, 512, 1024}, {TunableId::listener_backlog, 512, 1024}});
}

TEST_CASE("does not raise a queue that stays full through a window, and says so once") {
    State state;
    const QueueWindow full{.length = 1s, .peak = 129, .floor = 128, .arrivals = 100, .accepted = 100, .overflows = 400};
    const auto decisions = act(automatic(), state, tick(nginx(), full, at(1s)), at(1s));
    REQUIRE(decisions.size() == 1);
    CHECK(decisions[0].act == Decision::Act::advise);
    CHECK(decisions[0].from == decisions[0].to);
    CHECK(decisions[0].why ==
          "accept queue of 0.0.0.0:8080 (nginx) stayed between 128 and 129 of 128 while the application "
          "accepted 100 a second: it is too slow, and a longer queue would only add delay; nothing raised");
    CHECK(act(automatic(), state, tick(nginx(), full, at(2s)), at(2s)).empty());
}

TEST_CASE("of a queue in which nobody ever waited nothing is remembered") {
    State state;
    const QueueWindow idle{.length = 1s, .arrivals = 0};
    act(automatic(), state, tick(nginx(), idle, at(1s)), at(1s));
    CHECK(state.queues.empty());
    const QueueWindow stuck{.length = 1s, .peak = 129, .floor = 129, .arrivals = 0};
    act(automatic(), state, tick(nginx(), stuck, at(2s)), at(2s));
    REQUIRE(state.queues.contains(nginx().cookie));
    act(automatic(), state, tick(nginx(), idle, at(3s)), at(3s));
    CHECK_FALSE(state.queues.at(nginx().cookie).stuck); // it has drained, which is noted all the same
}

TEST_CASE("of ever new queues of one namespace so many are told of in an hour, and another's are all the same") {
    State state;
    const QueueWindow full{.length = 1s, .peak = 129, .floor = 128, .arrivals = 100, .accepted = 100, .overflows = 400};
    auto made_anew = [&, cookie = std::uint64_t{1}](NetnsId netns) mutable {
        Listener listener = nginx();
        listener.netns = netns;
        listener.cookie = cookie++;
        listener.window = full;
        return listener;
    };
    constexpr NetnsId other{.cookie = 8, .inode = 4026532248};
    std::size_t told = 0;
    std::string last;
    std::size_t of_other = 0;
    MonoTime now = at(0s);
    for (int second = 1; second <= 30; ++second) {
        now = at(second * 1s);
        std::vector<Listener> listeners{made_anew(other)};
        for (int i = 0; i < 10; ++i) listeners.push_back(made_anew(shop));
        for (const Decision& each : act(automatic(), state, snapshot_of(Snapshot::Cause::tick, now, listeners), now)) {
            of_other += each.scope.netns == other ? 1 : 0;
            if (each.scope.netns != shop) continue;
            ++told;
            last = each.why;
        }
    }
    CHECK(told == findings_an_hour_of_netns);
    CHECK(last.ends_with("; no more such findings of this network namespace are recorded within this hour"));
    CHECK(of_other == 30);
    now += 1h;
    CHECK(act(automatic(), state, snapshot_of(Snapshot::Cause::tick, now, {made_anew(shop)}), now).size() == 1);
}

TEST_CASE("does not raise a queue that fills slowly because the application is slower than its clients") {
    State state;
    Listener listener = nginx();
    listener.window = {.length = 160ms, .peak = 65, .arrivals = 80, .accepted = 16, .event = at(0s)};
    CHECK(act(automatic(), state, snapshot_of(Snapshot::Cause::pressure, at(0s), {listener}), at(0s)).empty());
}

TEST_CASE("waits for the next tick with a queue that filled and is still full") {
    State state;
    Listener listener = nginx();
    listener.queue = 129;
    const QueueWindow filling{
        .length = 1s, .peak = 129, .floor = 0, .arrivals = 230, .accepted = 101, .overflows = 215};
    CHECK(act(automatic(), state, tick(listener, filling, at(1s)), at(1s)).empty());
    const QueueWindow busy{.length = 1s, .peak = 129, .floor = 0, .arrivals = 5000, .accepted = 4900, .overflows = 215};
    CHECK(!act(automatic(), state, tick(listener, busy, at(1s)), at(1s)).empty());
}

TEST_CASE("raises at the tick what lost connections between two ticks") {
    State state;
    const QueueWindow bursts{.length = 1s, .peak = 129, .floor = 0, .arrivals = 500, .accepted = 500, .overflows = 871};
    const auto decisions = act(automatic(), state, tick(nginx(), bursts, at(1s)), at(1s));
    CHECK(writes(decisions) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 2048}, {TunableId::listener_backlog, 128, 2048}});
    CHECK(decisions.front().why ==
          "accept queue of 0.0.0.0:8080 (nginx) reached 129 of 128 and lost 871 while it was being accepted from");
}

TEST_CASE("where arrivals are not seen, a queue that overflowed and is empty was a burst") {
    State state;
    const QueueWindow gone{.length = 1s, .peak = 0, .floor = 0, .overflows = 200};
    const auto decisions = controller::step(automatic(), state, tick(nginx(), gone, at(0s)), at(0s));
    REQUIRE(decisions.size() == 2);
    CHECK(decisions[0].tunable == TunableId::somaxconn);
    CHECK(decisions[0].to == 512);
    for (const Evidence& evidence : decisions[0].evidence) CHECK(evidence.name != "arrivals");
}

TEST_CASE("where arrivals are not seen, a queue that is over half full at two looks in a row is stuck") {
    State state;
    Listener listener = nginx();
    listener.queue = 129;
    const QueueWindow twice{.length = 1s, .peak = 129, .floor = 120, .overflows = 50};
    const auto decisions = controller::step(automatic(), state, tick(listener, twice, at(0s)), at(0s));
    REQUIRE(decisions.size() == 1);
    CHECK(decisions[0].act == Decision::Act::advise);
    CHECK(decisions[0].why.find("stayed between 120 and 129 of 128 at two looks in a row") != std::string::npos);
}

TEST_CASE("what was not looked at, or whose limits could not be read, is left alone") {
    State state;
    Listener listener = nginx();
    QueueWindow window{.peak = 129, .floor = 129, .overflows = 50};
    SECTION("not looked at") {}
    SECTION("not read") {
        listener.somaxconn.reset();
        window.length = 1s;
    }
    CHECK(controller::step(automatic(), state, tick(listener, window, at(0s)), at(0s)).empty());
}

TEST_CASE("grants no listener more than it asked for") {
    State state;
    Listener listener = nginx();
    listener.asked = 200;
    CHECK(writes(act(automatic(), state, pressure(listener, 65, at(0s)), at(0s))) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 512}, {TunableId::listener_backlog, 128, 200}});
}

TEST_CASE("an application that asked for just as much as was allowed is granted more, more than once") {
    State state;
    Listener go = nginx();
    go.asked = 128; // Go reads somaxconn and passes it to listen()
    CHECK(writes(act(automatic(), state, pressure(go, 65, at(0s)), at(0s))) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 512}, {TunableId::listener_backlog, 128, 512}});
    go.somaxconn = go.limit = 512;
    CHECK(writes(act(automatic(), state, after_burst(go, 513, 600, at(40ms)), at(40ms))) ==
          std::vector<Written>{{TunableId::somaxconn, 512, 4096}, {TunableId::listener_backlog, 512, 4096}});
}

TEST_CASE("grants the other listeners of the namespace too, after the one under pressure, and no other namespace") {
    State state;
    Snapshot snapshot = pressure(nginx(), 65, at(0s));
    Listener sibling = nginx();
    sibling.cookie = 98;
    sibling.local.port = 8443;
    sibling.asked.reset(); // older than the service; its limit equals somaxconn
    Listener elsewhere = nginx();
    elsewhere.cookie = 97;
    elsewhere.netns = {.cookie = 8, .inode = 4026532300};
    snapshot.listeners.insert(snapshot.listeners.begin(), {sibling, elsewhere});
    const auto decisions = act(automatic(), state, snapshot, at(0s));
    REQUIRE(writes(decisions).size() == 3);
    CHECK(decisions[1].scope.listener->cookie == 99);
    CHECK(decisions[2].scope.listener->cookie == 98);
    CHECK(decisions[2].why == "0.0.0.0:8443 (nginx) was held to somaxconn, which is 512 now");
    CHECK(!decisions[2].event);
}

TEST_CASE("needs no higher somaxconn where only the running listener is behind it") {
    State state;
    Listener listener = nginx();
    listener.somaxconn = 4096; // raised by somebody after nginx started
    CHECK(writes(act(automatic(), state, pressure(listener, 65, at(0s)), at(0s))) ==
          std::vector<Written>{{TunableId::listener_backlog, 128, 512}});
}

TEST_CASE("an application's own backlog") {
    Listener listener = nginx();
    listener.asked = 128;
    listener.somaxconn = 4096;
    listener.binds = Binds::application;
    State state;

    SECTION("is only reported where the policy does not name listener.backlog") {
        const auto decisions = act(automatic(), state, pressure(listener, 65, at(0s)), at(0s));
        REQUIRE(decisions.size() == 1);
        CHECK(decisions[0].act == Decision::Act::recommend);
        CHECK(decisions[0].to == 512);
        CHECK(decisions[0].why ==
              "accept queue of 0.0.0.0:8080 (nginx) reached 65 of 128 while it was being accepted from; "
              "the application asked for only 128; raising it to 512 needs listener.backlog named in the policy");
    }
    SECTION("is exceeded where the policy names it") {
        CHECK(writes(act(allowing_backlog(), state, pressure(listener, 65, at(0s)), at(0s))) ==
              std::vector<Written>{{TunableId::listener_backlog, 128, 512}});
    }
    SECTION("is exceeded together with a somaxconn that bound before it") {
        listener.asked = 200;
        listener.somaxconn = 128;
        listener.binds = Binds::somaxconn;
        const auto decisions = act(allowing_backlog(), state, pressure(listener, 65, at(0s)), at(0s));
        CHECK(writes(decisions) ==
              std::vector<Written>{{TunableId::somaxconn, 128, 512}, {TunableId::listener_backlog, 128, 512}});
        CHECK(decisions.back().why ==
              "0.0.0.0:8080 (nginx) asked for 200; somaxconn is 512; the policy's listener.backlog "
              "allows 512");
    }
    SECTION("takes somaxconn with it where that is too small and may be raised") {
        listener.somaxconn = 256;
        CHECK(writes(act(allowing_backlog(), state, pressure(listener, 65, at(0s)), at(0s))) ==
              std::vector<Written>{{TunableId::somaxconn, 256, 512}, {TunableId::listener_backlog, 128, 512}});
    }
    SECTION("is held to somaxconn where that may not be raised") {
        listener.somaxconn = 256;
        policy::Policy policy = allowing_backlog();
        policy.of(TunableId::somaxconn).mode = Mode::observe;
        const auto decisions = act(policy, state, pressure(listener, 65, at(0s)), at(0s));
        CHECK(writes(decisions) == std::vector<Written>{{TunableId::listener_backlog, 128, 256}});
        CHECK(decisions.front().why.ends_with("held to somaxconn, 256"));
    }
    SECTION("is not raised past the policy's max") {
        policy::Policy policy = allowing_backlog();
        policy.of(TunableId::listener_backlog).max = 300;
        CHECK(writes(act(policy, state, pressure(listener, 65, at(0s)), at(0s))) ==
              std::vector<Written>{{TunableId::listener_backlog, 128, 300}});
    }
}

TEST_CASE("writes nothing in observe, and only says what it would do in recommend") {
    State state;
    policy::Policy policy;
    CHECK(act(policy, state, pressure(nginx(), 65, at(0s)), at(0s)).empty());

    policy.mode = Mode::recommend;
    State other;
    const auto decisions = act(policy, other, pressure(nginx(), 65, at(0s)), at(0s));
    CHECK(writes(decisions).empty());
    REQUIRE(!decisions.empty());
    CHECK(decisions[0].tunable == TunableId::somaxconn);
    CHECK(decisions[0].to == 512);
    CHECK(decisions[0].why.ends_with("not written: mode is recommend"));
}

TEST_CASE("raises no further than the memory budget goes, and says what it would have cost") {
    State state;
    policy::Policy policy = allowing_backlog();
    policy.memory_budget_bytes = 1024 * 1024; // 204 waiting connections of 5 KiB
    policy.tenant_share = 1;
    const auto decisions = act(policy, state, pressure(nginx(), 65, at(0s)), at(0s));
    CHECK(writes(decisions) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 512}, {TunableId::listener_backlog, 128, 256}});
    CHECK(decisions[1].why.ends_with("512 would cost 1.7 MiB (worst case 49.0 MiB), memoryBudget has 1.0 MiB left"));
}

TEST_CASE("leaves a value alone that someone else set, until the policy is reloaded") {
    State state;
    const policy::Policy policy = automatic();
    act(policy, state, pressure(nginx(), 65, at(0s)), at(0s));
    Listener changed = nginx();
    changed.limit = 512;
    changed.somaxconn = 1000;
    const QueueWindow calm{.length = 1s};
    const auto yields = of_act(act(policy, state, tick(changed, calm, at(1s)), at(1s)), Decision::Act::yield);
    REQUIRE(yields.size() == 1);
    CHECK(yields[0].tunable == TunableId::somaxconn);
    CHECK(yields[0].to == 1000);

    const auto again = act(policy, state, pressure(changed, 400, at(1min)), at(1min));
    for (const Written& written : writes(again)) CHECK(written.tunable != TunableId::somaxconn);
}

TEST_CASE("a write that failed is not held, and not tried again at once") {
    State state;
    const policy::Policy policy = automatic();
    const auto decisions = step(policy, state, pressure(nginx(), 65, at(0s)), at(0s));
    for (const Decision& decision : decisions)
        settle(state, decision, {.kind = Outcome::Kind::failed, .error = "Permission denied"}, at(1ms));
    CHECK(state.held.empty());
    CHECK(step(policy, state, pressure(nginx(), 66, at(1s)), at(1s)).empty());
}

TEST_CASE("a value that was another one than the snapshot said is looked at again before the next try") {
    State state;
    const policy::Policy policy = automatic();
    for (const Decision& decision : step(policy, state, pressure(nginx(), 65, at(0s)), at(0s)))
        settle(state, decision, {.kind = Outcome::Kind::conflict, .value = 200}, at(1ms));
    CHECK(state.held.empty());
    CHECK(step(policy, state, pressure(nginx(), 66, at(5ms)), at(5ms)).empty());
}

TEST_CASE("a change that was on trial when the service ended begins its trial anew, with what was granted for it") {
    State state;
    const Listener listener = nginx();
    const Scope scope = scope_of(listener);
    adopt(state, {TunableId::somaxconn, scope, 128, 512, 128}, at(0s));
    adopt(state, {TunableId::listener_backlog, scope, 128, 512, 128}, at(0s));
    CHECK(state.trials.size() == 1);
    Listener raised = listener;
    raised.somaxconn = raised.limit = 512;

    SECTION("used without loss") {
        CHECK(act(automatic(), state, tick(raised, {.length = 1s, .peak = 200}, at(9s)), at(9s)).empty());
        const auto decisions = act(automatic(), state, tick(raised, {.length = 1s, .peak = 20}, at(10s)), at(10s));
        CHECK(of_act(decisions, Decision::Act::keep).size() == 2);
    }
    SECTION("not used") {
        const auto decisions = act(automatic(), state, tick(raised, {.length = 1s}, at(10min)), at(10min));
        const auto back = of_act(decisions, Decision::Act::roll_back);
        REQUIRE(back.size() == 2);
        CHECK(back[0].tunable == TunableId::listener_backlog); // while somaxconn still allows it
        CHECK(back[0].to == 128);
        CHECK(back[1].to == 128);
        for (const Decision& decision : back) settle(state, decision, {.kind = Outcome::Kind::written}, at(10min));
        CHECK(state.held.empty());
        CHECK(state.trials.empty());
    }
}

TEST_CASE("what fitted before a trial of an earlier run is said to be unknown where no value tells it") {
    const auto verdict_of = [](TunableId tunable, std::uint64_t use, Nanoseconds after) {
        State state;
        adopt(state, {tunable, scope_of(nginx()), 1000, 4096, 1000}, at(0s));
        auto& [key, trial] = *state.trials.begin();
        trial.after = {.demand = use, .use = use};
        return verdict_on(key, trial, Snapshot(), at(after)).why;
    };
    CHECK(verdict_of(TunableId::netdev_max_backlog, 500, 11s) ==
          "500 packets came to one CPU in a second (what fitted before is not known any more), and none was lost");
    CHECK(verdict_of(TunableId::netdev_max_backlog, 0, 11min) ==
          "at most 0 packets came to one CPU in a second in 10 min (what fitted before is not known any more): it was "
          "not needed");
    CHECK(verdict_of(TunableId::conntrack_max, 1500, 11s) ==
          "1500 were in the table at once where 1000 fitted before, and none was lost");
}

TEST_CASE("a change that was kept before the service ended is not tried again") {
    State state;
    adopt(state, {TunableId::somaxconn, scope_of(nginx()), 128, 512, {}}, at(0s));
    CHECK(state.held.size() == 1);
    CHECK(state.trials.empty());
    CHECK_FALSE(state.held.begin()->second.untested);
}

TEST_CASE("of a UDP buffer that was kept before the service ended it is not known for whom its datagrams were") {
    State state;
    adopt(state, {TunableId::udp_rcvbuf, scope_of(nginx()), 212992, 425984, {}}, at(0s));
    CHECK(state.held.begin()->second.untested);
}

TEST_CASE("what was adopted is charged with the use that it was raised for, all of it where that is not known") {
    const bool known = GENERATE(true, false);
    State state;
    Listener other = nginx();
    other.cookie = nginx().cookie + 1;
    other.local.port = 99;
    const std::vector<Evidence> evidence{{"expected_use", 130}};
    adopt(state,
          {.tunable = TunableId::listener_backlog,
           .scope = scope_of(other),
           .original = 128,
           .current = 512,
           .evidence = known ? evidence : std::vector<Evidence>{}},
          at(0s));
    policy::Policy policy = allowing_backlog();
    policy.memory_budget_bytes = 2 << 20; // one queue of 512: 384 x 5 KiB more
    policy.tenant_share = 1;
    const auto decisions = act(policy, state, pressure(nginx(), 65, at(1s)), at(1s));
    const auto raised = writes(decisions);
    CHECK((std::ranges::find(raised, Written{TunableId::listener_backlog, 128, 512}) != raised.end()) == known);
}

TEST_CASE("raises to the policy's min without any loss") {
    State state;
    policy::Policy policy = automatic();
    policy.of(TunableId::somaxconn).min = 1024;
    CHECK(writes(act(policy, state, tick(nginx(), {.length = 1s}, at(1s)), at(1s))) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 1024}});
}

TEST_CASE("a write that was not answered is not taken for the application's listen() when it comes to pass") {
    State state;
    Listener listener = nginx();
    listener.somaxconn = 4096;
    const auto decisions = controller::step(automatic(), state, pressure(listener, 65, at(1s)), at(1s));
    REQUIRE(writes(decisions) == std::vector<Written>{{TunableId::listener_backlog, 128, 512}});
    unanswered(state, decisions[0], at(2s));
    const ObjectKey object = key_of(TunableId::listener_backlog, decisions[0].scope);
    const auto seen_with = [&](std::uint32_t limit, std::uint32_t peak, Nanoseconds when) {
        listener.limit = limit;
        return controller::step(automatic(), state, tick(listener, {.length = 1s, .peak = peak}, at(when)), at(when));
    };
    CHECK(seen_with(128, 129, 3s).empty());
    CHECK(seen_with(512, 300, 4s).empty());
    CHECK(controller::step(automatic(), state, pressure(listener, 300, at(5s)), at(5s)).empty());

    settle(state, decisions[0], {Outcome::Kind::written, 512, {}}, at(6s));
    CHECK(state.held.at(object).original == 128);
    CHECK(seen_with(512, 1, 7s).empty());
    CHECK(state.held.at(object).current == 512);
    CHECK_FALSE(seen_with(64, 1, 8s).empty()); // the application's
    CHECK_FALSE(state.held.contains(object));
}

TEST_CASE("what is lost until a write is answered speaks neither for it nor against it") {
    State state;
    Listener listener = nginx();
    listener.somaxconn = 4096;
    const auto decisions = controller::step(automatic(), state, pressure(listener, 65, at(1s)), at(1s));
    unanswered(state, decisions[0], at(2s));
    const auto lost = [&](std::uint64_t overflows, Nanoseconds when) {
        const QueueWindow window{.length = 1s,
                                 .peak = overflows > 0 ? 129U : 200U,
                                 .arrivals = 200,
                                 .accepted = 200,
                                 .overflows = overflows};
        return controller::step(automatic(), state, tick(listener, window, at(when)), at(when));
    };
    for (int second = 3; second < 60; ++second) CHECK(lost(500, std::chrono::seconds(second)).empty());
    settle(state, decisions[0], {Outcome::Kind::written, 512, {}}, at(60s));
    listener.limit = 512;
    for (int second = 62; second < 69; ++second) CHECK(lost(0, std::chrono::seconds(second)).empty());
    const auto verdict = lost(0, 73s);
    REQUIRE(verdict.size() == 1);
    CHECK(verdict[0].act == Decision::Act::keep);
}

TEST_CASE("raises an accept queue though tcp_max_syn_backlog is the smaller limit, where syncookies are off") {
    State state;
    Listener listener = nginx();
    listener.binds = Binds::syn_backlog;
    const auto decisions = act(automatic(), state, pressure(listener, 65, at(0s)), at(0s));
    CHECK(writes(decisions) ==
          std::vector<Written>{{TunableId::somaxconn, 128, 512}, {TunableId::listener_backlog, 128, 512}});
}

TEST_CASE("the same inputs give the same decisions") {
    State one;
    State two;
    const auto snapshot = pressure(nginx(), 65, at(0s));
    CHECK(step(automatic(), one, snapshot, at(0s)) == step(automatic(), two, snapshot, at(0s)));
}

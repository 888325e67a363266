// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "controller/step.hpp"

using namespace bpftune;
using namespace std::chrono_literals;

namespace {

MonoTime at(Nanoseconds since_start) { return MonoTime(1h + since_start); }

Snapshot tick(Conntrack table, MonoTime time) {
    Snapshot snapshot;
    snapshot.time.mono = time;
    snapshot.interval = 1s;
    snapshot.host = {.cookie = 1, .inode = 4026531833};
    snapshot.memory_bytes = std::uint64_t{16} << 30;
    snapshot.conntrack = {std::move(table)};
    return snapshot;
}

Conntrack gateway(std::uint64_t entries, double growth) {
    return {.netns = {.cookie = 1, .inode = 4026531833},
            .entries = entries,
            .limit = 20000,
            .buckets = 8192,
            .entries_per_second = growth};
}

policy::Policy automatic() {
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    return policy;
}

} // namespace

TEST_CASE("leaves a table alone that will not fill") {
    controller::State state;
    CHECK(step(automatic(), state, tick(gateway(5000, 100), at(0s)), at(0s)).empty());
}

TEST_CASE("raises the table before it is full, with its buckets") {
    controller::State state;
    const auto decisions = step(automatic(), state, tick(gateway(5000, 5000), at(0s)), at(0s));
    REQUIRE(decisions.size() == 2);
    // (5,000 + 30 s * 5,000) / 0.7 = 221,429
    CHECK(decisions[0].tunable == TunableId::conntrack_max);
    CHECK(decisions[0].to == 262144);
    CHECK(decisions[0].scope.netns.inode == 4026531833);
    CHECK(decisions[0].why == "conntrack table of netns 4026531833 holds 5000 of 20000, growing by 5000 a second");
    CHECK(decisions[1].tunable == TunableId::conntrack_buckets);
    CHECK(decisions[1].from == 8192);
    CHECK(decisions[1].to == 131072); // chains of 2, as they were
}

TEST_CASE("takes drops for growth that did not get in") {
    controller::State state;
    Conntrack full = gateway(20000, 0);
    full.window_drops = 4000;
    const auto decisions = step(automatic(), state, tick(full, at(0s)), at(0s));
    REQUIRE(!decisions.empty());
    CHECK(decisions[0].to == 262144); // (20,000 + 30 s * 4,000) / 0.7 = 200,000
    CHECK(decisions[0].why == "conntrack table of netns 4026531833 holds 20000 of 20000 and dropped 4000 packets");
}

TEST_CASE("raises a table that is nearly full though it does not grow") {
    controller::State state;
    const auto decisions = step(automatic(), state, tick(gateway(17500, 0), at(0s)), at(0s));
    REQUIRE(!decisions.empty());
    CHECK(decisions[0].to == 32768);
}

TEST_CASE("sizes for the fullest of the namespaces") {
    controller::State state;
    Snapshot snapshot = tick(gateway(17500, 0), at(0s));
    Conntrack pod = gateway(5000, 5000);
    pod.netns = {.cookie = 9, .inode = 4026532300};
    snapshot.conntrack.push_back(pod);
    const auto decisions = step(automatic(), state, snapshot, at(0s));
    REQUIRE(!decisions.empty());
    CHECK(decisions[0].to == 262144);
    CHECK(decisions[0].scope.netns.inode == 4026531833); // written for everyone in the init namespace
}

TEST_CASE("leaves a table without a limit alone") {
    controller::State state;
    Conntrack unlimited = gateway(1000000, 5000);
    unlimited.limit = 0;
    CHECK(step(automatic(), state, tick(unlimited, at(0s)), at(0s)).empty());
}

TEST_CASE("does not raise the table past the policy's max, nor past the memory budget") {
    controller::State state;
    policy::Policy policy = automatic();
    SECTION("max") {
        policy.of(TunableId::conntrack_max).max = 100000;
        const auto decisions = step(policy, state, tick(gateway(5000, 5000), at(0s)), at(0s));
        REQUIRE(!decisions.empty());
        CHECK(decisions[0].to == 100000);
    }
    SECTION("budget: 65,536 entries of 512 bytes fit where 262,144 do not") {
        policy.memory_budget_bytes = (65536 - 20000 + 10) * 512;
        const auto decisions = step(policy, state, tick(gateway(5000, 5000), at(0s)), at(0s));
        REQUIRE(!decisions.empty());
        CHECK(decisions[0].to == 65536);
    }
}

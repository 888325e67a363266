// SPDX-License-Identifier: Apache-2.0
// What scenarios cannot say of giving back: what an earlier run left.
#include "controller/give_back.hpp"

#include <catch2/catch.hpp>

#include "unit/controller/world.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

TEST_CASE("the calm of what was adopted begins with the service") {
    constexpr MonoTime start(1h);
    World world;
    world.conntrack_max = 131072;
    world.conntrack_buckets = 131072;
    world.tables[World::host] = {.netns = World::host, .entries = 900};
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    policy.of(TunableId::conntrack_max).shrink_after = 10min;
    controller::State state;
    controller::adopt(
        state, {TunableId::conntrack_max, {.netns = World::host}, /*original=*/20000, /*current=*/131072, {}}, start);

    for (auto at = 1s; at < 600s; ++at)
        REQUIRE(controller::step(policy, state, world.tick(start + at, 1s), start + at).empty());
    const auto decisions = controller::step(policy, state, world.tick(start + 600s, 1s), start + 600s);
    REQUIRE(decisions.size() == 1);
    CHECK(decisions[0].act == Decision::Act::give_back);
    CHECK(decisions[0].from == 131072);
    CHECK(decisions[0].to == 65536);
    CHECK(decisions[0].evidence == std::vector<Evidence>{{"use_peak", 900}, {"limit", 131072}});
}

// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>

#include "unit/controller/world.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

constexpr NetnsId pod{.cookie = 2, .inode = 4026532001};

// A connection that tcp_rmem holds back at first, and what became of it after the raise; the verdict on that.
Decision verdict_on_raise(const std::optional<RaisedFlows>& raised) {
    World world;
    TcpBuffers& row = world.buffers[pod] = {.netns = pod, .rmem_max = 131072, .looked_at = 1};
    row.receiving = HeldBack{.flows = 1, .bytes_per_second = 800000};
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    controller::State state;
    MonoTime now{1h};
    for (const Decision& decision : controller::step(policy, state, world.tick(now, 1s), now))
        controller::settle(state, decision, world.write(decision), now);
    row.receiving = HeldBack{.raised = raised};
    now += 11min;
    const auto decisions = controller::step(policy, state, world.tick(now, 1s), now);
    REQUIRE(decisions.size() == 1);
    return decisions.front();
}

} // namespace

TEST_CASE("the verdict on a buffer says how fast its connections were and are") {
    const Decision verdict = verdict_on_raise(RaisedFlows{.flows = 1, .before = 800000, .since = 1500000});
    CHECK(verdict.act == Decision::Act::keep);
    CHECK(verdict.evidence == std::vector<Evidence>{{"connections", 1},
                                                    {"bytes_per_second_before", 800000},
                                                    {"bytes_per_second_after", 1500000}});
}

TEST_CASE("a buffer whose connections could not be measured is kept without evidence, least of all of losses") {
    const Decision verdict = verdict_on_raise(std::nullopt);
    CHECK(verdict.act == Decision::Act::keep);
    CHECK(verdict.evidence.empty());
}

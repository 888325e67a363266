// SPDX-License-Identifier: Apache-2.0
#include "policy/policy.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::policy;

TEST_CASE("the mode that counts is the lower one") {
    Policy policy;
    policy.mode = Mode::recommend;
    CHECK(policy.mode_of(TunableId::somaxconn) == Mode::recommend);
    policy.mode = Mode::automatic;
    CHECK(policy.mode_of(TunableId::somaxconn) == Mode::automatic);
    policy.of(TunableId::somaxconn).mode = Mode::observe;
    CHECK(policy.mode_of(TunableId::somaxconn) == Mode::observe);
}

TEST_CASE("an opt-in tunable that is not named is only observed") {
    Policy policy;
    policy.mode = Mode::automatic;
    CHECK(policy.mode_of(TunableId::listener_backlog) == Mode::observe);
    policy.of(TunableId::listener_backlog).named = true;
    CHECK(policy.mode_of(TunableId::listener_backlog) == Mode::automatic);
}

TEST_CASE("what may be raised in any case goes by what the tunable bounds, follows and needs a name for") {
    Policy policy;
    policy.mode = Mode::automatic;
    CHECK(policy.most_of(TunableId::somaxconn) == Mode::automatic);
    CHECK(policy.most_of(TunableId::udp_rcvbuf) == Mode::automatic); // where its application has set no size
    CHECK(policy.most_of(TunableId::tcp_tw_reuse) == Mode::observe);
    CHECK(policy.most_of(TunableId::listener_backlog) == Mode::automatic); // as far as somaxconn is raised
    policy.of(TunableId::somaxconn).mode = Mode::recommend;
    CHECK(policy.most_of(TunableId::listener_backlog) == Mode::recommend);
    CHECK(policy.most_of(TunableId::netdev_budget) == Mode::observe);
    policy.of(TunableId::netdev_budget).min = 600;
    CHECK(policy.most_of(TunableId::netdev_budget) == Mode::automatic);
    policy.of(TunableId::netdev_budget).min.reset();
    policy.of(TunableId::netdev_budget_usecs).named = true;
    CHECK(policy.most_of(TunableId::netdev_budget) == Mode::automatic);
    policy.mode = Mode::recommend;
    CHECK(policy.most_of(TunableId::udp_rcvbuf) == Mode::recommend);
}

TEST_CASE("modes are read as they are written") {
    for (const Mode each : {Mode::observe, Mode::recommend, Mode::automatic}) CHECK(mode(to_string(each)) == each);
    CHECK_FALSE(mode("Auto"));
    CHECK_FALSE(mode(""));
}

TEST_CASE("an entry for pods grants those CPUs that spec does as well, and no others") {
    Policy policy;
    TunablePolicy& granted = policy.tunables[static_cast<std::size_t>(TunableId::rps_cpus)];
    granted.named = true;
    granted.max = 0b1100;
    PodRule rule;
    TunablePolicy& own = rule.tunables[static_cast<std::size_t>(TunableId::rps_cpus)];
    own.named = true;
    own.max = 0b0110;
    CHECK(policy.of(TunableId::rps_cpus, Grant{.rule = &rule}).max == 0b0100);
}

TEST_CASE("a budget is never more than the node's memory, however it is written") {
    constexpr std::uint64_t memory = 4ULL << 30;
    Policy policy;
    CHECK(policy.budget_bytes(memory) == static_cast<std::uint64_t>(static_cast<double>(memory) * 0.02));
    policy.memory_budget_bytes = 1ULL << 30;
    CHECK(policy.budget_bytes(memory) == 1ULL << 30);
    policy.memory_budget_bytes = 64ULL << 30;
    CHECK(policy.budget_bytes(memory) == memory);
    CHECK(policy.budget_bytes(0) == 64ULL << 30);
    CHECK(policy.share_bytes(memory) == memory / 10);
    policy.tenant_share = 1;
    CHECK(policy.share_bytes(memory) == memory);
}

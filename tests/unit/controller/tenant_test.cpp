// SPDX-License-Identifier: Apache-2.0
// What one tenant may take of the memory budget, beside others.
#include "controller/tenant.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "unit/controller/servers.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

// A user that the policy names, so that something is raised for it.
void let_user_in(Servers& node) {
    policy::PodRule& entry = node.policy.pods.emplace_back();
    entry.match.unit = "user@*";
}

void give_to_user(Servers& node, const NetnsId& netns, std::uint32_t uid) {
    node.world.users_in[netns] = uid;
    node.world.units_in[netns] = fmt::format("user@{}.service", uid);
}

} // namespace

TEST_CASE("network namespaces that one user makes are one tenant, and another one still gets its raise") {
    Servers node;
    let_user_in(node);
    constexpr std::uint64_t most = 280, victim = 1000;
    std::uint64_t one_raise = 0;
    for (std::uint64_t i = 1; i <= most; ++i) {
        Listener& listener = node.add(i);
        give_to_user(node, listener.netns, 65534);
        node.burst(listener, 300);
        if (i == 1) one_raise = node.charged(1, 1);
        if (i % 50 == 0) node.tick();
    }
    const std::uint64_t share = node.policy.share_bytes(node.world.memory_bytes);
    CHECK(node.charged(1, most) <= share + one_raise); // which may go past it
    CHECK(node.charged(1, most) > share / 2);

    Listener& other = node.add(victim);
    give_to_user(node, other.netns, 1000);
    node.burst(other, 900);
    CHECK(other.limit == 2048);
}

TEST_CASE("one raise of a tenant may go past the share, to three quarters of what others left") {
    Servers node;
    Listener& first = node.add(1);
    node.burst(first, 1500);
    CHECK(first.limit == 2048);
    const std::uint64_t charged = node.charged(1, 1);
    CHECK(charged > node.policy.share_bytes(node.world.memory_bytes));
    CHECK(charged <= *node.policy.memory_budget_bytes / 4 * 3);

    const auto refused = node.burst(node.add(2, first.netns), 1500);
    REQUIRE(refused);
    CHECK(refused->act == Decision::Act::advise);
    CHECK_THAT(refused->why, Catch::EndsWith("tenantShare of netns 4026532001 has 0.0 KiB left"));
    CHECK(node.charged(2, 2) == 0);
}

TEST_CASE("who took the most that one raise may have leaves a quarter of the budget to others") {
    Servers node;
    for (std::uint64_t i = 1; i <= 3; ++i) {
        Listener& listener = node.add(i);
        node.burst(listener, 60000);
        CHECK(node.charged(1, i) <= *node.policy.memory_budget_bytes - (*node.policy.memory_budget_bytes >> (2 * i)));
    }
    CHECK(node.world.listeners.at(2).limit > 512);
}

TEST_CASE("what is granted along with another's raise stays within the share") {
    Servers node;
    node.policy.memory_budget_bytes = 8 * mebibyte;
    node.policy.tenant_share = 0.4;
    constexpr std::uint64_t all = 19; // the first has the burst
    for (std::uint64_t i = 1; i <= all; ++i) node.add(i, netns(1));
    node.burst(node.world.listeners.at(1), 140);
    CHECK(node.charged(2, all) > 0);
    CHECK(node.charged(1, all) <= node.policy.share_bytes(node.world.memory_bytes));
}

TEST_CASE("a share of the whole leaves the budget alone as the bound") {
    Servers node;
    node.policy.tenant_share = 1;
    Listener& first = node.add(1);
    Listener& second = node.add(2, first.netns);
    node.burst(first, 3000);
    const auto cut = node.burst(second, 60000);
    REQUIRE(cut);
    CHECK_THAT(cut->why, Catch::Contains(", memoryBudget has "));
    CHECK(node.charged(1, 2) > *node.policy.memory_budget_bytes / 2);
}

TEST_CASE("whose account a raise is charged to") {
    Servers node;
    const Pod web{.ns = "shop", .name = "web-0", .uid = "u1"};
    node.add(1);
    node.add(2);
    CHECK(node.account_of(1) != node.account_of(2)); // by their network namespaces

    SECTION("a pod is one tenant, by its namespace as by who holds a socket of the node's") {
        node.world.pods_in[netns(1)] = web;
        node.add(3, World::host).pod = web;
        CHECK(node.account_of(1) == node.account_of(3));
    }
    SECTION("pods of one user namespace's owner are several") {
        node.world.pods_in[netns(1)] = web;
        for (const std::uint64_t each : {1, 2}) give_to_user(node, netns(each), 1000);
        CHECK(node.account_of(1) != node.account_of(2));
    }
    SECTION("a user is one tenant in each unit") {
        for (const std::uint64_t each : {1, 2}) give_to_user(node, netns(each), 1000);
        CHECK(node.account_of(1) == node.account_of(2));
        node.world.users_in[netns(2)] = 100'007; // a subuid of his
        CHECK(node.account_of(1) == node.account_of(2));
        node.world.units_in[netns(2)] = "batch.service";
        CHECK(node.account_of(1) != node.account_of(2));
        give_to_user(node, netns(2), 1001);
        CHECK(node.account_of(1) != node.account_of(2));
    }
    SECTION("in the node's own namespace a unit is one, and all that is no unit's") {
        node.add(3, World::host).unit = "nginx.service";
        node.add(4, World::host).unit = "nginx.service";
        CHECK(node.account_of(3) == node.account_of(4));
        CHECK_FALSE(node.account_of(3).empty());
        node.add(5, World::host);
        node.add(6, World::host);
        CHECK(node.account_of(5) == node.account_of(6));
        CHECK(node.account_of(5) != node.account_of(3));
        CHECK_FALSE(node.account_of(5).empty());
    }
}

TEST_CASE("for what a user made nothing is written, and why is told") {
    Servers node;
    Listener& listener = node.add(1);
    node.world.users_in[listener.netns] = 1000;
    node.burst(listener, 300);
    CHECK(listener.limit == 128);
    CHECK(node.state.held.empty());
    CHECK_THAT(node.told(), Catch::EndsWith("left alone: in a user namespace of uid 1000: named by no entry of pods"));

    let_user_in(node);
    node.world.units_in[listener.netns] = "user@1000.service";
    node.burst(listener, 300);
    CHECK(listener.limit == 512);
}

TEST_CASE("one that is too new is left alone until it is known whether a user made it, which is no news") {
    Servers node;
    Listener& listener = node.add(1);
    node.world.unread.insert(listener.netns);
    node.burst(listener, 300);
    CHECK(listener.limit == 128);
    CHECK(node.told().empty());
    node.world.unread.clear();
    node.burst(listener, 300);
    CHECK(listener.limit == 512);
}

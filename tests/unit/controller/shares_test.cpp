// SPDX-License-Identifier: Apache-2.0
// One of the node's limits, where tenants alone ask for more of it. tests/scenarios/shares.yaml has what each rule
// does.
#include <algorithm>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "controller/invariants.hpp"
#include "controller/tenant.hpp"
#include "unit/controller/owners.hpp"
#include "unit/controller/servers.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using controller::Askers;
using controller::Tenant;

namespace {

Tenant pod(std::uint64_t number) {
    const std::string name = fmt::format("shop/web-{:02}", number);
    return {.account = "pod " + name, .name = name};
}

constexpr std::uint64_t budget = 256 * mebibyte; // of which one limit of a tenant may have three quarters
constexpr std::uint64_t entry = 512;
// As far as a power of two goes where three quarters of the budget pay for two network namespaces.
constexpr std::uint64_t most_for_one = 131072;
static_assert((most_for_one - 20000) * 2 * entry <= budget / 4 * 3);
static_assert((2 * most_for_one - 20000) * 2 * entry > budget / 4 * 3);

// The node's table, and one of a tenant.
struct Tables : Servers {
    Conntrack& of_node;
    Conntrack& of_tenant;

    Tables() : of_node(table_of(World::host)), of_tenant(table_of(netns(1))) {
        policy.memory_budget_bytes = budget;
        world.names[netns(1)] = {};
    }

    // So many connections more than there is room for.
    void overfill(Conntrack& table, std::uint64_t more) const {
        table.entries = world.conntrack_max;
        table.window_drops = more;
    }

    [[nodiscard]] std::string account_in(const NetnsId& netns) const {
        return controller::tenant_in(world.tick({}, {}), netns, std::nullopt).account;
    }

private:
    Conntrack& table_of(const NetnsId& netns) { return world.tables[netns] = {.netns = netns}; }
};

// Whatever is asked of the table, at random: it fills, drops, empties, in part with nobody's answers.
void ask_at_random(const Tables& node, Dice& dice) {
    Conntrack& table = node.of_tenant;
    const std::uint64_t wanted = dice.up_to(node.world.conntrack_max * 5 / 4);
    table.entries_per_second = static_cast<double>(wanted) - static_cast<double>(table.entries);
    table.entries = std::min(wanted, node.world.conntrack_max);
    table.window_drops = wanted - table.entries;
    table.flood = dice.once_in(10) ? std::optional<std::string>("a flood") : std::nullopt;
}

} // namespace

TEST_CASE("whatever one tenant's table does, its share bounds the limit, and the node's own demand is raised at once") {
    for (std::uint64_t seed = 0; seed < 30; ++seed) {
        INFO("seed " << seed);
        Dice dice(seed);
        Tables node;
        bool was_raised = false;
        const std::uint64_t ticks = dice.between(200, 3000);
        for (std::uint64_t tick = 0; tick < ticks; ++tick) {
            if (dice.once_in(1 + seed)) ask_at_random(node, dice);
            node.tick_as_it_is();
            was_raised |= node.world.conntrack_max > 20000;
            REQUIRE(node.world.conntrack_max <= most_for_one);
        }
        CHECK(was_raised);

        node.of_tenant = {.netns = netns(1)};
        const std::uint64_t before = node.world.conntrack_max;
        node.overfill(node.of_node, 4000);
        node.tick_as_it_is();
        CHECK(node.world.conntrack_max > before);
    }
}

TEST_CASE("what was rolled back of a tenant's does not hold up the node's own demand") {
    Tables node;
    for (int second = 0; second < 15; ++second) { // it loses at any limit
        node.overfill(node.of_tenant, 4000);
        node.tick_as_it_is();
    }
    const ObjectKey limit{TunableId::conntrack_max, World::host};
    REQUIRE(node.state.back_offs.contains({.object = limit, .tenant = node.account_in(netns(1))}));
    CHECK(node.world.conntrack_max == most_for_one); // in use

    node.of_tenant = {.netns = netns(1), .entries = 100};
    node.overfill(node.of_node, 4000);
    node.tick_as_it_is();
    CHECK(node.world.conntrack_max > most_for_one);
}

TEST_CASE("a tenant that loses at any limit has nothing of others taken back") {
    Tables node;
    Conntrack& of_other = node.world.tables[netns(2)] = {.netns = netns(2)};
    node.world.names[netns(2)] = {};
    const auto tick_with_loser = [&] {
        node.overfill(node.of_tenant, 4000);
        node.tick_as_it_is();
    };
    const auto run = [&](Conntrack& table) {
        node.overfill(table, 4000);
        tick_with_loser();
        const std::uint64_t raised = node.world.conntrack_max;
        REQUIRE(raised > 20000);
        table.entries = 30000;
        table.window_drops = 0;
        for (int second = 0; second < 15; ++second) tick_with_loser();
        return raised;
    };

    SECTION("of the node's own") { CHECK(run(node.of_node) == node.world.conntrack_max); }
    SECTION("of another tenant's") {
        of_other.entries_per_second = 30000; // wants more
        CHECK(run(of_other) == node.world.conntrack_max);
    }
    CHECK(node.state.back_offs.empty()); // what is in use would be taken back later
}

TEST_CASE("a tenant gets no second share by a restart of the service") {
    Tables node;
    node.overfill(node.of_tenant, 4000);
    node.tick_as_it_is();
    REQUIRE(node.world.conntrack_max == most_for_one);

    node.state = {};
    adopt(node.state,
          {.tunable = TunableId::conntrack_max,
           .scope = {.netns = World::host},
           .original = 20000,
           .current = most_for_one},
          MonoTime(std::chrono::hours(1)));
    node.overfill(node.of_tenant, 4000);
    node.tick_as_it_is();
    CHECK(node.world.conntrack_max == most_for_one);
    CHECK_THAT(node.told(), Catch::Contains("tenantShare of netns 4026532001 has 192.0 MiB left"));
}

TEST_CASE("who alone asks for more of one of the node's limits") {
    Askers askers;
    CHECK(askers.alone().empty());
    askers.add(pod(1), 10);
    askers.add(pod(2), 30);
    askers.add(pod(1), 20);
    const auto alone = askers.alone();
    REQUIRE(alone.size() == 2);
    CHECK(alone[0].name == "shop/web-02"); // whoever wants most
    CHECK(alone[1].name == "shop/web-01");

    SECTION("nobody, where the node does as well") {
        Askers others;
        others.add({}, 1);
        askers.add(others);
        CHECK(askers.alone().empty());
    }
    SECTION("as many as matter, of thousands") {
        for (std::uint64_t each = 3; each < 3000; ++each) askers.add(pod(each), 5);
        CHECK(askers.alone().size() == Askers::most);
        CHECK(askers.alone()[1].name == "shop/web-01");
    }
}

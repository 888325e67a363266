// SPDX-License-Identifier: Apache-2.0
// What one tenant may take of the memory budget, beside others.
#include "controller/tenant.hpp"

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "unit/controller/world.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;
using controller::State;
using policy::Mode;

namespace {

constexpr std::uint64_t mebibyte = 1 << 20;

NetnsId netns(std::uint64_t number) {
    return {.cookie = number, .inode = static_cast<std::uint32_t>(4026532000 + number)};
}

// Servers that asked for more than somaxconn, 128, each in a namespace of its own.
class Servers {
public:
    World world;
    State state;
    policy::Policy policy;

    Servers() {
        policy.mode = Mode::automatic;
        policy.memory_budget_bytes = 64 * mebibyte; // 6.4 of them for each tenant
        world.somaxconn[World::host] = 128;
        world.names[World::host] = {};
    }

    Listener& add(std::uint64_t number, const NetnsId& in) {
        world.somaxconn.try_emplace(in, 128);
        world.names.try_emplace(in);
        Listener listener;
        listener.netns = in;
        listener.cookie = number;
        listener.local = {"0.0.0.0", 8080};
        listener.pid = 712;
        listener.limit = 128;
        listener.asked = 65535;
        return world.listeners[number] = listener;
    }

    Listener& add(std::uint64_t number) { return add(number, netns(number)); }

    // So many connections come to it, of which those are lost that find its queue full. The last decision about it.
    std::optional<Decision> burst(Listener& listener, std::uint32_t connections) {
        now_ += 1min;
        const std::uint32_t waiting = std::min(connections, listener.limit + 1);
        listener.window = {.length = 40ms,
                           .peak = waiting,
                           .arrivals = connections,
                           .overflows = connections - waiting,
                           .event = now_};
        return decide(world.pressure(listener, now_), listener.cookie);
    }

    void tick() {
        now_ += 1s;
        for (auto& [cookie, listener] : world.listeners) listener.window = {.length = 1s};
        decide(world.tick(now_, 1s), 0);
    }

    // Of the listeners whose names begin so.
    [[nodiscard]] std::uint64_t charged(std::uint64_t first, std::uint64_t last) {
        const Snapshot snapshot = world.tick(now_, 1s);
        const controller::Gate gate(policy, state, snapshot, now_);
        std::uint64_t sum = 0;
        for (const auto& [object, held] : state.held)
            if (object.listener_cookie >= first && object.listener_cookie <= last)
                sum += controller::cost_of(object, held, gate).charged_bytes;
        return sum;
    }

    [[nodiscard]] std::string account_of(std::uint64_t listener) {
        const Listener& row = world.listeners.at(listener);
        const Snapshot snapshot = world.tick(now_, 1s);
        const controller::Gate gate(policy, state, snapshot, now_);
        return controller::tenant_of(gate, object_of(row), scope_of(row)).account;
    }

private:
    static ObjectKey object_of(const Listener& listener) {
        return {TunableId::listener_backlog, listener.netns, listener.cookie};
    }

    std::optional<Decision> decide(const Snapshot& snapshot, std::uint64_t listener) {
        std::optional<Decision> last;
        for (const Decision& decision : controller::step(policy, state, snapshot, now_)) {
            if (is_write(decision)) settle(state, decision, world.write(decision), now_);
            if (decision.scope.listener && decision.scope.listener->cookie == listener) last = decision;
        }
        return last;
    }

    MonoTime now_ = MonoTime(1h);
};

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
    for (std::uint64_t i = 1; i <= most; ++i) {
        Listener& listener = node.add(i);
        give_to_user(node, listener.netns, 65534);
        node.burst(listener, 300);
        if (i % 50 == 0) node.tick();
    }
    const std::uint64_t share = node.policy.share_bytes(node.world.memory_bytes);
    CHECK(node.charged(1, most) <= share);
    CHECK(node.charged(1, most) > share / 2);

    Listener& other = node.add(victim);
    give_to_user(node, other.netns, 1000);
    node.burst(other, 900);
    CHECK(other.limit == 2048);
}

TEST_CASE("a first raise may go past the share, to half of what others left, until it is judged") {
    Servers node;
    Listener& first = node.add(1);
    node.burst(first, 1500);
    CHECK(first.limit == 2048);
    const std::uint64_t charged = node.charged(1, 1);
    CHECK(charged > node.policy.share_bytes(node.world.memory_bytes));
    CHECK(charged <= *node.policy.memory_budget_bytes / 2);

    const auto refused = node.burst(node.add(2, first.netns), 1500);
    REQUIRE(refused);
    CHECK(refused->act == Decision::Act::advise);
    CHECK_THAT(refused->why, Catch::EndsWith("tenantShare of netns 4026532001 has 0.0 KiB left"));
    CHECK(node.charged(2, 2) == 0);
}

TEST_CASE("who took the most that a first raise may have leaves half of the budget to others") {
    Servers node;
    for (std::uint64_t i = 1; i <= 3; ++i) {
        Listener& listener = node.add(i);
        node.burst(listener, 60000);
        CHECK(node.charged(1, i) <= *node.policy.memory_budget_bytes - (*node.policy.memory_budget_bytes >> i));
    }
    CHECK(node.world.listeners.at(3).limit > 512);
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
        node.world.units_in[netns(2)] = "batch.service";
        CHECK(node.account_of(1) != node.account_of(2));
        give_to_user(node, netns(2), 1001);
        CHECK(node.account_of(1) != node.account_of(2));
    }
    SECTION("in the node's own namespace a unit is one, and what is no unit's is the node's") {
        node.add(3, World::host).unit = "nginx.service";
        node.add(4, World::host).unit = "nginx.service";
        CHECK(node.account_of(3) == node.account_of(4));
        CHECK_FALSE(node.account_of(3).empty());
        node.add(5, World::host);
        CHECK(node.account_of(5).empty());
    }
}

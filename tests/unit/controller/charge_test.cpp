// SPDX-License-Identifier: Apache-2.0
// What is charged to the memory budget: whatever is granted, for as long as it is used.
#include <catch2/catch.hpp>

#include "controller/invariants.hpp"
#include "unit/controller/servers.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

std::uint64_t places(const Servers& node, std::uint64_t first, std::uint64_t last) {
    std::uint64_t sum = 0;
    for (std::uint64_t each = first; each <= last; ++each) sum += node.world.listeners.at(each).limit - 128;
    return sum;
}

void tick_for(Servers& node, Nanoseconds length) {
    for (Nanoseconds passed{}; passed < length; passed += 1s) node.tick();
}

} // namespace

TEST_CASE("what is granted along with another's raise is charged, so idle listeners do not stand past the budget") {
    Servers node;
    node.policy.memory_budget_bytes = 8 * mebibyte;
    node.policy.tenant_share = 1;
    constexpr std::uint64_t all = 19; // the first has the burst
    for (std::uint64_t i = 1; i <= all; ++i) node.add(i, netns(1));
    node.burst(node.world.listeners.at(1), 300);
    CHECK(node.world.listeners.at(1).limit == 1024);
    CHECK(node.charged(2, all) > 0);
    CHECK(node.charged(1, all) <= 8 * mebibyte);
    // Of the place that each has more, half at least is charged: limits are rounded up to a power of two.
    CHECK(places(node, 2, all) * 5120 / 2 <= node.charged(2, all) + all * 128 * 5120);
}

TEST_CASE("a charge that is not used any more is released, and the limit stays") {
    Servers node;
    Listener& listener = node.add(1);
    node.burst(listener, 600);
    const std::uint32_t limit = listener.limit;
    const std::uint64_t charged = node.charged(1, 1);
    REQUIRE(charged > 0);
    tick_for(node, controller::release_after - 10s);
    CHECK(node.charged(1, 1) == charged);
    tick_for(node, 20s);
    CHECK(node.charged(1, 1) == 0);
    CHECK(listener.limit == limit);

    SECTION("what is used of it later counts again") {
        listener.window = {.length = 1s, .peak = 400};
        node.tick_as_it_is();
        CHECK(node.charged(1, 1) == (400 - 128) * 5120);
    }
}

TEST_CASE("a charge that is used now and then stays, as far as that needs") {
    Servers node;
    Listener& listener = node.add(1);
    node.burst(listener, 600);
    const std::uint64_t charged = node.charged(1, 1);
    for (int i = 0; i < 20; ++i) {
        tick_for(node, 59s);
        listener.window = {.length = 1s, .peak = 200, .arrivals = 200, .accepted = 200};
        node.tick_as_it_is();
    }
    CHECK(node.charged(1, 1) == (512 - 128) * 5120); // twice 200, as a power of two
    CHECK(node.charged(1, 1) < charged);
}

TEST_CASE("buckets are allocated, so their charge stays as long as they do") {
    Servers node;
    node.policy.of(TunableId::conntrack_max).min = 65536;
    node.world.tables[World::host] = {.netns = World::host, .entries = 100};
    node.tick();
    REQUIRE(node.world.conntrack_buckets > 8192);
    tick_for(node, controller::release_after + 20s);
    CHECK(node.charged_for({TunableId::conntrack_max, World::host}) == 0);
    CHECK(node.charged_for({TunableId::conntrack_buckets, World::host}) == (node.world.conntrack_buckets - 8192) * 8);
}

namespace {

// A namespace whose connections may receive into 4 MiB, which was 1 MiB, and was expected to be used to 2.
class Receivers : public Servers {
public:
    static constexpr ObjectKey object{TunableId::tcp_rmem, {.cookie = 1, .inode = 4026532001}};

    Receivers() {
        controller::adopt(state,
                          {.tunable = object.tunable,
                           .scope = {.netns = object.netns},
                           .original = mebibyte,
                           .current = 4 * mebibyte,
                           .evidence = {{"expected_use", 2 * mebibyte}}},
                          MonoTime(1h));
        policy.of(object.tunable).max = 4 * mebibyte; // no more is asked for
        world.names[object.netns] = {};
        TcpBuffers& row = world.buffers[object.netns];
        row.netns = object.netns;
        row.rmem_max = 4 * mebibyte;
    }

    // So many, of which those are held back.
    void tick_with(std::uint64_t connections, std::uint64_t held_back) {
        world.ports[object.netns] = {.netns = object.netns, .states = TcpStates{.established = connections}};
        world.buffers.at(object.netns).receiving = HeldBack{.flows = held_back};
        tick();
    }

    [[nodiscard]] std::uint64_t limit() const { return *world.buffers.at(object.netns).rmem_max; }
};

} // namespace

TEST_CASE("connections that no buffer holds back any more may fill it still, so its charge stays until none is left") {
    Receivers node;
    node.tick_with(3, 3);
    CHECK(node.charged_for(Receivers::object) == 3 * (3 * mebibyte));
    node.tick_with(3, 0);
    tick_for(node, controller::release_after + 20s);
    CHECK(node.charged_for(Receivers::object) == 3 * (3 * mebibyte));
    node.tick_with(0, 0);
    CHECK(node.charged_for(Receivers::object) == mebibyte); // as expected of a raise
    tick_for(node, controller::release_after + 20s);
    CHECK(node.charged_for(Receivers::object) == 0);
    CHECK(node.limit() == 4 * mebibyte);
}

TEST_CASE("connections that have ended are charged no more, though others have not") {
    Receivers node;
    node.tick_with(100, 100);
    CHECK(node.charged_for(Receivers::object) == 100 * (3 * mebibyte));
    node.tick_with(100, 0);
    CHECK(node.charged_for(Receivers::object) == 100 * (3 * mebibyte));
    node.tick_with(1, 0);
    CHECK(node.charged_for(Receivers::object) == 3 * mebibyte);
}

TEST_CASE("where connections are not counted, no more stay charged than the raise expected") {
    Receivers node;
    node.tick_with(100, 100);
    node.world.ports.at(Receivers::object.netns).states.reset();
    node.tick();
    CHECK(node.charged_for(Receivers::object) == 100 * (3 * mebibyte));
    node.world.buffers.at(Receivers::object.netns).receiving = HeldBack{};
    node.tick();
    CHECK(node.charged_for(Receivers::object) == mebibyte);
}

TEST_CASE("connections that a raise was made for are charged no more when they were gone for a while") {
    Receivers node;
    node.state.held.at(Receivers::object).expected.assign(100, 2 * mebibyte);
    node.tick_with(100, 0);
    CHECK(node.charged_for(Receivers::object) == 100 * mebibyte);
    node.tick_with(2, 0);
    tick_for(node, controller::release_after - 10s);
    CHECK(node.charged_for(Receivers::object) == 100 * mebibyte);

    SECTION("for good") {
        tick_for(node, 20s);
        CHECK(node.charged_for(Receivers::object) == 2 * mebibyte);
    }
    SECTION("but not if they came again") {
        node.tick_with(100, 0);
        node.tick_with(2, 0);
        tick_for(node, 20s);
        CHECK(node.charged_for(Receivers::object) == 100 * mebibyte);
    }
}

TEST_CASE("a buffer that connections may fill is not given back, though nothing is seen of what they hold") {
    Receivers node;
    node.policy.of(TunableId::tcp_rmem).shrink_after = 20min;
    node.tick_with(1, 0);
    tick_for(node, 1h);
    CHECK(node.limit() == 4 * mebibyte);
    node.tick_with(0, 0);
    tick_for(node, 21min);
    CHECK(node.limit() == 2 * mebibyte);

    SECTION("nor where the sockets of its namespace are not counted") {
        node.world.ports.at(Receivers::object.netns).states.reset();
        tick_for(node, 1h);
        CHECK(node.limit() == 2 * mebibyte);
    }
}

TEST_CASE("fragments may fill their table between two looks, so its charge stays as long as the raise") {
    Servers node;
    const ObjectKey object{TunableId::ipfrag_high_thresh, netns(1)};
    controller::adopt(node.state,
                      {.tunable = object.tunable,
                       .scope = {.netns = object.netns},
                       .original = 4 * mebibyte,
                       .current = 8 * mebibyte},
                      MonoTime(1h));
    node.world.names[object.netns] = {};
    node.world.fragments[object] = {.netns = object.netns, .fullest_bytes = mebibyte, .limit_bytes = 8 * mebibyte};
    tick_for(node, controller::release_after + 20s);
    CHECK(node.charged_for(object) == 4 * mebibyte);
}

TEST_CASE("ports are charged by how many more sockets in TIME_WAIT have one than the original range has") {
    Servers node;
    const NetnsId in = netns(1);
    const ObjectKey object{TunableId::ip_local_port_range, in};
    controller::Adopted adopted{
        .tunable = object.tunable, .scope = {.netns = in}, .original = 65536 - 60000, .current = 65536 - 50000};
    node.world.names[in] = {};
    NetnsTcp& row = node.world.ports[in] = {.netns = in, .local_ports = LocalPorts{.first = 50000, .last = 60999}};

    SECTION("where more do than a raise expected") {
        adopted.evidence = {{"expected_use", adopted.original}};
        controller::adopt(node.state, adopted, MonoTime(1h));
        row.time_wait_sockets = 4000;
        node.tick();
        CHECK(node.charged_for(object) == (4000 - 1000) * 256);
    }
    SECTION("where fewer do for a while, by twice as many as had one") {
        controller::adopt(node.state, adopted, MonoTime(1h));
        row.time_wait_sockets = 1500;
        tick_for(node, controller::release_after - 10s);
        CHECK(node.charged_for(object) == (11000 - 1000) * 256);
        tick_for(node, 20s);
        CHECK(node.charged_for(object) == (3000 - 1000) * 256);
    }
}

TEST_CASE("what several expect is adopted as all of them") {
    Servers node;
    const ObjectKey object{TunableId::conntrack_max, World::host};
    controller::adopt(node.state,
                      {.tunable = object.tunable,
                       .scope = {.netns = World::host},
                       .original = 20000,
                       .current = 65536,
                       .evidence = {{"expected_use", 30000}, {"expected_of_all", 25000}}},
                      MonoTime(1h));
    CHECK(node.charged_for(object) == 25000 * 512);
}

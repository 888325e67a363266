// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <optional>
#include <vector>

#include "signals/socket_memory.hpp"

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

constexpr NetnsId pod{.cookie = 7, .inode = 4026532247};
constexpr NetnsId other{.cookie = 8, .inode = 4026532248};

PoolReading in_use(std::uint64_t bytes) {
    return {.page = 4096, .bytes = bytes, .low = 300, .pressure = 400, .high = 600};
}

// Looks once a second.
struct Feed {
    MonoTime now;
    SocketMemoryTable table;
    probes::NetnsReading::Memory counters;
    std::optional<std::vector<probes::MemoryReading>> holders;

    std::vector<SocketMemory> tick(std::uint64_t tcp, std::uint64_t udp) {
        now += 1s;
        const std::vector<probes::NetnsReading> readings{{.netns = pod, .pid = 3, .memory = counters}};
        return table.update({in_use(tcp), in_use(udp)}, readings, holders, now);
    }
};

} // namespace

TEST_CASE("what is not read of a pool makes no row") {
    CHECK(SocketMemoryTable().update({}, {}, std::nullopt, {}).empty());
}

TEST_CASE("TCP suffers from pressure on, and UDP, which knows none, from the first number on") {
    Feed feed;
    const auto rows = feed.tick(399, 300);
    CHECK_FALSE(rows.at(0).is_under_pressure());
    CHECK(rows.at(1).is_under_pressure());
    CHECK(feed.tick(400, 299).at(0).is_under_pressure());
    CHECK_FALSE(feed.tick(400, 299).at(1).is_under_pressure());
}

TEST_CASE("a full buffer of one socket is no loss of the pool that is far from its limit") {
    Feed feed;
    feed.tick(0, 0);
    feed.counters = {.pressures = 0, .queue_drops = 9, .aborted = 1, .udp_errors = 0};
    CHECK(feed.tick(299, 0).at(0).window_lost == 0);
    feed.counters.queue_drops = 12;
    const auto row = feed.tick(300, 0).at(0); // three quarters of it
    CHECK(row.window_lost == 3);
    CHECK(row.lost == 3);
}

TEST_CASE("a kernel that does not count what UDP lost for want of memory says so") {
    Feed feed;
    CHECK_FALSE(feed.tick(0, 0).at(1).lost);
    feed.counters.udp_errors = 5; // from when it is first seen
    CHECK(feed.tick(0, 300).at(1).lost == 0);
    feed.counters.udp_errors = 7;
    CHECK(feed.tick(0, 300).at(1).window_lost == 2);
}

TEST_CASE("it is told for how long a pool has been near its limit at each look") {
    Feed feed;
    CHECK(feed.tick(200, 0).at(0).near_for == 0s);
    feed.tick(300, 0);
    CHECK(feed.tick(300, 0).at(0).near_for == 1s);
    feed.tick(200, 0); // the look before was near it
    CHECK(feed.tick(200, 0).at(0).near_for == 0s);
}

TEST_CASE("the rest of what is in use is held by no process, and whose the most is is told") {
    Feed feed;
    CHECK_FALSE(feed.tick(300, 0).at(0).unheld_bytes());
    feed.holders = {{.netns = other, .tcp = {.held = 50, .still = 50}, .udp = {}},
                    {.netns = pod, .tcp = {.held = 100, .still = 20, .close_wait = 10}, .udp = {.held = 7}}};
    const auto rows = feed.tick(300, 5);
    CHECK(rows.at(0).held_bytes == 150);
    CHECK(rows.at(0).still_bytes == 70);
    CHECK(rows.at(0).unheld_bytes() == 150);
    REQUIRE(rows.at(0).largest);
    CHECK(rows.at(0).largest->netns == pod);
    CHECK(rows.at(0).largest->pid == 3);
    CHECK(rows.at(0).largest->close_wait_bytes == 10);
    CHECK(rows.at(1).unheld_bytes() == 0); // a look is older than the other
}

TEST_CASE("who holds it is worth a look from half of the limit on") {
    const SocketMemoryTable table;
    CHECK_FALSE(table.is_worth_a_look({}));
    CHECK_FALSE(table.is_worth_a_look({in_use(199), in_use(149)}));
    CHECK(table.is_worth_a_look({in_use(200), in_use(0)}));
    CHECK(table.is_worth_a_look({in_use(0), in_use(150)}));
}

TEST_CASE("who holds it stays worth a look while a pool has been near its limit at one look of two") {
    Feed feed;
    feed.tick(0, 300);
    feed.tick(0, 0);
    CHECK(feed.table.is_worth_a_look({in_use(0), in_use(0)}));
    feed.tick(0, 0);
    CHECK_FALSE(feed.table.is_worth_a_look({in_use(0), in_use(0)}));
}

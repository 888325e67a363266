// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/conntrack_tables.hpp"

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

constexpr NetnsId router{.cookie = 9, .inode = 4026532300};

// Tables that are fed by hand, a second with each tick.
struct Feed {
    ConntrackTables tables;
    ConntrackTables::Limits limits{.entries = 20000, .buckets = 16384};
    probes::ConntrackReading reading{.netns = router};
    Nanoseconds time = 1h;

    Conntrack tick() {
        time += 1s;
        tables.update(std::span(&reading, 1), limits, MonoTime(time), 1s);
        return tables.row(router, MonoTime(time)).value();
    }
    void away(Nanoseconds length = 1s) {
        time += length;
        tables.update({}, limits, MonoTime(time), 1s);
        CHECK_FALSE(tables.row(router, MonoTime(time)));
    }
    void clash(std::uint64_t count) {
        reading.drops += count;
        reading.insert_failed += count;
    }
};

} // namespace

TEST_CASE("what a full table drops is what the kernel drops less the clashes") {
    Feed feed;
    feed.reading.entries = 20000;
    (void)feed.tick();
    feed.clash(40);
    feed.reading.drops += 10;
    feed.reading.early_drops += 7;
    const Conntrack row = feed.tick();
    CHECK(row.window_drops == 10);
    CHECK(row.window_evicted == 7);
    CHECK(row.window_lost() == 17);
    CHECK(row.window_clashes == 40);
    CHECK(row.insert_failed == 40);
    CHECK(row.window_chain_too_long == 0);
}

TEST_CASE("a clash in a table with room is no drop, whatever the size of the table") {
    Feed feed;
    feed.limits.entries = GENERATE(100, 1000, 262144);
    feed.reading.entries = 5;
    (void)feed.tick();
    feed.clash(60);
    const Conntrack row = feed.tick();
    CHECK(row.window_lost() == 0);
    CHECK(row.drops == 0);
    CHECK(row.clashes == 60);
    CHECK(row.clash);
}

TEST_CASE("chains that are too long raise insert_failed, and neither drops nor clashes") {
    Feed feed;
    feed.reading.entries = 19999;
    (void)feed.tick();
    feed.reading.insert_failed += 30;
    feed.reading.chain_too_long += 30;
    feed.reading.drops += 5; // those are the table's
    const Conntrack row = feed.tick();
    CHECK(row.window_chain_too_long == 30);
    CHECK(row.chain_too_long == 30);
    CHECK(row.window_clashes == 0);
    CHECK(row.window_drops == 5);
}

TEST_CASE("a drop far from the limit is not the table's, unless it was full for certain") {
    Feed feed;
    feed.reading.entries = 14000;
    (void)feed.tick();
    feed.reading.drops += 5;
    SECTION("memory, or a packet that TCP refuses") { CHECK(feed.tick().window_drops == 0); }
    SECTION("an entry was evicted") {
        feed.reading.early_drops += 1;
        CHECK(feed.tick().window_drops == 5);
    }
    SECTION("BPF saw it") {
        feed.tables.was_full(router);
        CHECK(feed.tick().window_drops == 5);
        feed.reading.drops += 5;
        CHECK(feed.tick().window_drops == 0);
    }
    SECTION("the limit was smaller before") {
        feed.limits.entries = 15000;
        (void)feed.tick();
        feed.reading.drops += 5;
        feed.limits.entries = 262144;
        CHECK(feed.tick().window_drops == 5);
    }
}

TEST_CASE("a table without a limit is never full, and never will be") {
    Feed feed;
    feed.limits.entries = 0;
    feed.reading.entries = 1000000;
    (void)feed.tick();
    feed.reading.entries += 5000;
    feed.reading.drops += 5;
    const Conntrack row = feed.tick();
    CHECK(row.window_drops == 0);
    CHECK_FALSE(row.full_in_seconds);
    CHECK(feed.tables.waiting(MonoTime(feed.time)).empty());
}

TEST_CASE("what a table counted before it was seen is no news") {
    Feed feed;
    feed.reading = {.netns = router, .entries = 20000, .drops = 500, .early_drops = 300, .insert_failed = 90};
    Conntrack row = feed.tick();
    CHECK(row.window_lost() == 0);
    CHECK(row.drops + row.early_drops + row.insert_failed == 0);
    CHECK(row.entries_per_second == 0);
    feed.reading.drops += 3;
    row = feed.tick();
    CHECK(row.drops == 3);
    CHECK(row.window_drops == 3);
}

TEST_CASE("a table that is seen again goes on from then, and no counter is counted twice or falls") {
    Feed feed;
    feed.reading.entries = 20000;
    (void)feed.tick();
    feed.reading.drops += 7;
    CHECK(feed.tick().drops == 7);
    feed.away(1min);
    feed.reading.drops += 100; // nobody saw when
    Conntrack row = feed.tick();
    CHECK(row.drops == 7);
    CHECK(row.window_drops == 0);
    feed.reading.drops += 1;
    row = feed.tick();
    CHECK(row.drops == 8);
    CHECK(row.window_drops == 1);
}

TEST_CASE("a reading that was made before counts once, and its rates are of the time between two of them") {
    Feed feed;
    feed.reading.entries = 20000;
    feed.reading.read = MonoTime(1h);
    (void)feed.tick();
    feed.reading.drops = 5;
    feed.reading.entries = 19000;
    feed.reading.read = MonoTime(1h + 10s);
    Conntrack row = feed.tick();
    CHECK(row.window_drops == 5);
    CHECK(row.entries_per_second == -100);
    row = feed.tick();
    CHECK(row.window_drops == 0);
    CHECK(row.drops == 5);
}

TEST_CASE("a table that is loaded while the service runs counts from its birth") {
    Feed feed;
    feed.tables.unloaded();
    feed.reading = {.netns = router, .entries = 20000, .drops = 5};
    CHECK(feed.tick().window_drops == 5);
}

TEST_CASE("clashes are counted as NAT's where the entries say so, and say so for a minute") {
    Feed feed;
    feed.reading.entries = 1;
    (void)feed.tick();
    feed.clash(14);
    feed.time += 1s;
    feed.tables.update(std::span(&feed.reading, 1), feed.limits, MonoTime(feed.time), 1s);
    REQUIRE(feed.tables.waiting(MonoTime(feed.time)) == std::vector{router});
    probes::ConntrackSample sample{.entries = {{.family = 2, .transport = 6, .source_nat = true, .from = 3000}},
                                   .whole = true};
    sample.entries[0].translated.port = 40000;
    feed.tables.sampled(router, sample, MonoTime(feed.time));
    Conntrack row = feed.tables.row(router, MonoTime(feed.time)).value();
    CHECK(row.window_nat_exhausted == 14);
    CHECK(row.nat_exhausted == 14);
    CHECK(row.clashes == 0);
    CHECK(row.clash->starts_with("NAT ports exhausted"));
    CHECK(feed.tick().window_nat_exhausted == 0);
    feed.time += 1min;
    row = feed.tick();
    CHECK_FALSE(row.clash);
    CHECK(row.nat_exhausted == 14);
}

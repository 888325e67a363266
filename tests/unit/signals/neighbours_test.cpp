// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/neighbours.hpp"

using namespace bpftune;
using namespace std::chrono_literals;
using signals::NeighbourTables;

namespace {

const MonoTime start(1h);

// One table, a second a tick.
class Node {
public:
    Node() { tick({}); }

    NeighbourTable tick(const sys::NeighbourStat& gained) {
        stat_.entries = gained.entries;
        stat_.allocs += gained.allocs;
        stat_.res_failed += gained.res_failed;
        stat_.table_fulls += gained.table_fulls;
        now_ += 1s;
        return tables_.tick(std::vector{probes::NeighbourReading{.stat = stat_, .gc_thresh3 = 1024}}, now_).at(0);
    }
    [[nodiscard]] MonoTime now() const { return now_; }

private:
    NeighbourTables tables_;
    sys::NeighbourStat stat_{.entries = 5, .allocs = 70, .res_failed = 30, .table_fulls = 9};
    MonoTime now_ = start;
};

} // namespace

TEST_CASE("what a neighbour table counted before is not counted again") {
    Node node;
    const NeighbourTable row = node.tick({.entries = 8, .allocs = 3, .res_failed = 2, .table_fulls = 1});
    CHECK(row.entries == 8);
    CHECK(row.made == 3);
    CHECK(row.unanswered == 2);
    CHECK(row.refused == 1);
    CHECK(row.window_refused == 1);
    CHECK(row.gc_thresh3 == 1024);
    CHECK(node.tick({.entries = 8}).window_refused == 0);
    CHECK(node.tick({.entries = 8}).refused == 1);
}

TEST_CASE("a refusal is told when those that fill the table have had their time to answer") {
    Node node;
    node.tick({.entries = 600, .allocs = 600});
    const MonoTime before = node.now();
    CHECK_FALSE(node.tick({.entries = 1024, .allocs = 424, .table_fulls = 50}).lost);
    CHECK_FALSE(node.tick({.entries = 1024, .table_fulls = 7}).lost);
    CHECK_FALSE(node.tick({.entries = 1024, .res_failed = 600}).lost);
    const auto told = node.tick({.entries = 1024, .res_failed = 400, .table_fulls = 1}).lost;
    CHECK(told == NeighbourLoss{.began = before, .length = 4s, .packets = 58, .made = 1024, .unanswered = 1000});
    CHECK_FALSE(node.tick({.entries = 1024}).lost);
}

TEST_CASE("what is refused after one loss was told is another") {
    Node node;
    node.tick({.table_fulls = 1});
    node.tick({});
    node.tick({});
    REQUIRE(node.tick({}).lost);
    const MonoTime before = node.now();
    node.tick({.table_fulls = 2});
    node.tick({});
    node.tick({});
    const auto told = node.tick({}).lost;
    REQUIRE(told);
    CHECK(told->began == before);
    CHECK(told->packets == 2);
}

TEST_CASE("what was asked for long before a refusal does not speak for who fills the table") {
    Node node;
    node.tick({.allocs = 500, .res_failed = 500});
    for (int i = 0; i < 9; ++i) node.tick({});
    node.tick({.allocs = 20, .table_fulls = 1});
    node.tick({});
    node.tick({});
    const auto told = node.tick({}).lost;
    REQUIRE(told);
    CHECK(told->made == 20);
    CHECK(told->unanswered == 0);
}

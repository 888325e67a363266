// SPDX-License-Identifier: Apache-2.0
#include "measure/spread.hpp"

#include <numeric>

#include <catch2/catch.hpp>

using namespace bpftune::measure;

TEST_CASE("percentiles are values that were measured, by nearest rank") {
    std::vector<double> values(200);
    std::iota(values.rbegin(), values.rend(), 1); // 200 to 1
    const auto spread = spread_of(values);
    REQUIRE(spread);
    CHECK(spread->p50 == 100);
    CHECK(spread->p90 == 180);
    CHECK(spread->p99 == 198);
    CHECK(spread->max == 200);
}

TEST_CASE("of a few values the upper percentiles are the greatest") {
    const auto two = spread_of({3, 1});
    REQUIRE(two);
    CHECK(two->p50 == 1);
    CHECK(two->p90 == 3);
    CHECK(two->p99 == 3);
    const auto one = spread_of({7});
    REQUIRE(one);
    CHECK(one->p50 == 7);
    CHECK(one->max == 7);
}

TEST_CASE("no values have no percentiles") { CHECK(!spread_of({})); }

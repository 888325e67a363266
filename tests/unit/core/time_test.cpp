// SPDX-License-Identifier: Apache-2.0
#include "core/time.hpp"

#include <cstdint>
#include <string>

#include <catch2/catch.hpp>

using namespace bpftune;

TEST_CASE("a wall time is RFC 3339 in UTC with milliseconds") {
    const auto [ms, text] = GENERATE(table<std::int64_t, std::string>({
        {0, "1970-01-01T00:00:00.000Z"},
        {1, "1970-01-01T00:00:00.001Z"},
        {-1, "1969-12-31T23:59:59.999Z"},
        {951'782'400'000, "2000-02-29T00:00:00.000Z"},
        {1'795'298'400'123, "2026-11-21T22:00:00.123Z"},
        {4'102'444'799'999, "2099-12-31T23:59:59.999Z"},
        {-62'135'596'800'000, "0001-01-01T00:00:00.000Z"},
    }));
    CHECK(to_string(WallTime(std::chrono::milliseconds(ms))) == text);
}

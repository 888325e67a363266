// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "service/log_limit.hpp"

using namespace bpftune;
using namespace bpftune::service;
using namespace std::chrono_literals;

namespace {

constexpr int info = 2;
constexpr int warn = 3;
constexpr MonoTime start{1h};

unsigned passing(LogLimit& limit, unsigned lines, MonoTime now, int level = warn,
                 const std::string& words = "not written") {
    unsigned passed = 0;
    for (unsigned i = 0; i < lines; ++i)
        passed +=
            limit.passes(level, fmt::format("{}: listener.backlog of 127.0.0.1:{}: 4 -> 8", words, i), now) ? 1 : 0;
    return passed;
}

} // namespace

TEST_CASE("of a thousand lines of one kind twenty are written, and then how many were not") {
    LogLimit limit;
    CHECK(passing(limit, 1000, start) == 20);
    CHECK(limit.left_out(start + 9s).empty());
    const auto said = limit.left_out(start + 10s);
    REQUIRE(said.size() == 1);
    CHECK(said.front().level == warn);
    CHECK(said.front().text == "980 more lines like 'not written' in 10 s");
    CHECK(limit.left_out(start + 11s).empty());
}

TEST_CASE("lines of another kind or level are not held back") {
    LogLimit limit;
    passing(limit, 1000, start);
    CHECK(passing(limit, 20, start, info) == 20);
    CHECK(passing(limit, 20, start, warn, "put back") == 20);
}

TEST_CASE("numbers do not make another kind") {
    LogLimit limit;
    unsigned passed = 0;
    for (int i = 0; i < 100; ++i) passed += limit.passes(warn, fmt::format("descriptor {} is {}", i, i * 7), start);
    CHECK(passed == 20);
}

TEST_CASE("what was left out is said although lines of its kind go on, and those are written again") {
    LogLimit limit;
    passing(limit, 100, start);
    CHECK(passing(limit, 100, start + 12s) == 0); // nothing was said yet
    const auto said = limit.left_out(start + 12s);
    REQUIRE(said.size() == 1);
    CHECK(said.front().text == "180 more lines like 'not written' in 12 s");
    CHECK(passing(limit, 5, start + 12s) == 5);
}

TEST_CASE("few lines are all written, for as long as it runs, and nothing is said of them") {
    LogLimit limit;
    for (auto now = start; now < start + 5min; now += 1s) {
        CHECK(passing(limit, 1, now) == 1);
        CHECK(limit.left_out(now).empty());
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "sys/whole_search.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using sys::WholeSearch;

namespace {

constexpr MonoTime at(Nanoseconds time) { return MonoTime(time); }

} // namespace

TEST_CASE("a search that came to its end answers for others, for a moment") {
    WholeSearch last;
    CHECK_FALSE(last.misses(7, at(std::chrono::seconds(1))));
    last.ended({9, 3, 5}, at(std::chrono::seconds(1)));
    CHECK(last.misses(7, at(std::chrono::seconds(1))));
    CHECK_FALSE(last.misses(9, at(std::chrono::seconds(1))));
    CHECK_FALSE(last.misses(3, at(std::chrono::seconds(1))));
    CHECK_FALSE(last.misses(7, at(std::chrono::seconds(1) + WholeSearch::valid_for)));
}

TEST_CASE("what is reached, and was not come upon, ends that") {
    WholeSearch last;
    constexpr MonoTime now = at(std::chrono::seconds(1));
    last.ended({3, 5}, now);
    last.reached(5, now);
    CHECK(last.misses(7, now));
    last.reached(9, now);
    CHECK_FALSE(last.misses(7, now));
}

// SPDX-License-Identifier: Apache-2.0
#include "service/burst_pace.hpp"

#include <catch2/catch.hpp>

namespace bpftune::service {
namespace {

using namespace std::chrono_literals;

constexpr NetnsId busy{.cookie = 7, .inode = 1};
constexpr NetnsId other{.cookie = 8, .inode = 2};

MonoTime at(Nanoseconds time) { return MonoTime(time); }

} // namespace

TEST_CASE("a namespace whose bursts are dear has a fortieth of one core, and others are not held up by it") {
    BurstPace pace;
    CHECK(pace.has_turn(busy, at(0s)));
    for (int i = 0; i < 5; ++i) pace.took(busy, 1ms, at(0s));
    CHECK(pace.has_turn(busy, at(0s))); // at one go
    pace.took(busy, 1ms, at(0s));
    CHECK_FALSE(pace.has_turn(busy, at(39ms)));
    CHECK(pace.has_turn(other, at(0s)));
    CHECK(pace.has_turn(busy, at(40ms)));
    pace.took(busy, 1ms, at(40ms));
    CHECK_FALSE(pace.has_turn(busy, at(79ms)));
}

TEST_CASE("who was quiet may take as much at one go again, remembered or not") {
    BurstPace pace;
    pace.took(busy, 6ms, at(0s));
    const bool forgets = GENERATE(true, false);
    if (forgets) pace.forget(at(240ms));
    for (int i = 0; i < 5; ++i) {
        CHECK(pace.has_turn(busy, at(240ms)));
        pace.took(busy, 1ms, at(240ms));
    }
    pace.forget(at(240ms));
    pace.took(busy, 1ms, at(240ms));
    CHECK_FALSE(pace.has_turn(busy, at(279ms)));
}

TEST_CASE("looks at all bursts are as far apart as they are dear") {
    CHECK(BurstPace::pause(100us, 20ms) == 20ms);
    CHECK(BurstPace::pause(5ms, 20ms) == 200ms);
}

} // namespace bpftune::service

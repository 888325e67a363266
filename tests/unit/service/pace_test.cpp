// SPDX-License-Identifier: Apache-2.0
#include "service/pace.hpp"

#include <catch2/catch.hpp>

namespace bpftune::service {

using namespace std::chrono_literals;

TEST_CASE("looks that do not wait for their turn are 100 ms apart, and take no more than a twentieth of one CPU") {
    CHECK(least_pause(0ms, 1s) == 100ms);
    CHECK(least_pause(5ms, 1s) == 100ms);
    CHECK(least_pause(20ms, 1s) == 400ms);
}

TEST_CASE("a look that does not wait for its turn is never later than one that does") {
    CHECK(least_pause(100ms, 1s) == 1s);
    CHECK(least_pause(5s, 1s) == 1s);
}

} // namespace bpftune::service

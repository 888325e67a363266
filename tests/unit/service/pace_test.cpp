// SPDX-License-Identifier: Apache-2.0
#include "service/pace.hpp"

#include <catch2/catch.hpp>

namespace bpftune::service {

using namespace std::chrono_literals;

TEST_CASE("looks that do not wait for their turn are 100 ms apart, and take no more than a twentieth of one CPU") {
    CHECK(least_pause(0ms) == 100ms);
    CHECK(least_pause(5ms) == 100ms);
    CHECK(least_pause(20ms) == 400ms);
}

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#include <cstdlib>

// What is shown to people is in their time zone; in tests that is a known one.
[[maybe_unused]] static const int zone_is_set = ::setenv("TZ", "UTC", 1);

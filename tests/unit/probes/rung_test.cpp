// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "probes/probes.hpp"

using namespace bpftune;
using namespace bpftune::probes;

TEST_CASE("a rung is asked for by the names that doctor shows") {
    const auto choice = parse_rung_choice("listen=netlink");
    REQUIRE(choice.has_value());
    CHECK(choice->probe == Probe::listen);
    CHECK(choice->rung == Rung::netlink);
}

TEST_CASE("a rung that no ladder has is refused with those that it has") {
    const auto message = [](std::string_view text) { return parse_rung_choice(text).error().message; };
    CHECK(message("time_wait=fentry") == "time_wait has no rung 'fentry'; it has tracepoint, procfs");
    CHECK(message("softirq=") == "softirq has no rung ''; it has procfs");
    CHECK(message("tcp=netlink") ==
          "'tcp=netlink' is not PROBE=RUNG with a probe of listen, time_wait, softirq, conntrack, sysctl, buffers, "
          "neighbours");
    CHECK(message("listen") ==
          "'listen' is not PROBE=RUNG with a probe of listen, time_wait, softirq, conntrack, sysctl, buffers, "
          "neighbours");
    CHECK(message("") == "'' is not PROBE=RUNG with a probe of listen, time_wait, softirq, conntrack, sysctl, buffers, "
                         "neighbours");
}

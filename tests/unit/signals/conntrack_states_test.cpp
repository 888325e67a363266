// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

#include "signals/conntrack_states.hpp"

using namespace bpftune;
using namespace bpftune::signals;

namespace {

constexpr sys::ConntrackTimeouts of_kernel{.established = 432000,
                                           .time_wait = 120,
                                           .close_wait = 60,
                                           .unacknowledged = 300,
                                           .max_retrans = 300,
                                           .keepalive_time = 7200,
                                           .keepalive_intvl = 75,
                                           .keepalive_probes = 9};

probes::ConntrackEntry tcp(std::uint8_t state, std::optional<std::uint32_t> ends_in) {
    return {.transport = IPPROTO_TCP, .tcp_state = state, .ends_in = ends_in};
}

ConntrackStates states(std::vector<probes::ConntrackEntry> entries, std::uint64_t all,
                       const sys::ConntrackTimeouts& timeouts = of_kernel) {
    return states_of({.entries = std::move(entries), .whole = false, .timeouts = timeouts}, all);
}

} // namespace

TEST_CASE("what a sample has is told of the whole table, in its proportion") {
    const auto found = states({tcp(TCP_CONNTRACK_ESTABLISHED, 400000),
                               tcp(TCP_CONNTRACK_ESTABLISHED, 431990),
                               tcp(TCP_CONNTRACK_TIME_WAIT, 50),
                               {.transport = IPPROTO_UDP, .ends_in = 20}},
                              20000);
    CHECK(found.looked_at == 4);
    CHECK(found.tcp == 15000);
    CHECK(found.udp == 5000);
    CHECK(found.other == 0);
    CHECK(found.established.entries == 10000);
    CHECK(found.established.idle == 5000);
    CHECK(found.time_wait.entries == 5000);
    CHECK(found.time_wait.idle == 5000);
    CHECK(found.close_wait.entries == 0);
}

TEST_CASE("an entry is idle when its last packet is as long ago as live connections may be silent") {
    const auto idle = [](std::optional<std::uint32_t> ends_in) {
        return states({tcp(TCP_CONNTRACK_ESTABLISHED, ends_in)}, 1).established.idle;
    };
    CHECK(idle(432000 - 15075) == 1); // 2 x 7200 + 9 x 75
    CHECK(idle(432000 - 15074) == 0);
    CHECK(idle(500000) == 0);       // it got a longer one, that was in force before
    CHECK(idle(std::nullopt) == 0); // offloaded
}

TEST_CASE("one that waits for an acknowledgement has a shorter timeout, and is not idle") {
    const auto idle = [](std::uint32_t ends_in) {
        return states({tcp(TCP_CONNTRACK_ESTABLISHED, ends_in)}, 1).established.idle;
    };
    CHECK(idle(300) == 0);
    CHECK(idle(301) == 1);
}

TEST_CASE("live connections need twice the keepalive of their namespace, and never less than RFC 5382 has") {
    sys::ConntrackTimeouts timeouts = of_kernel;
    CHECK(states({}, 0, timeouts).established.needed_seconds == 15075);
    timeouts.keepalive_time = 60;
    CHECK(states({}, 0, timeouts).established.needed_seconds == 7440);
    timeouts.keepalive_time = 86400;
    CHECK(states({}, 0, timeouts).established.needed_seconds == 173475);
}

TEST_CASE("where timeouts are not known nothing is said of idleness") {
    const auto found =
        states_of({.entries = {tcp(TCP_CONNTRACK_ESTABLISHED, 400000)}, .whole = true, .timeouts = {}}, 1);
    CHECK(found.established.entries == 1);
    CHECK_FALSE(found.established.idle);
    CHECK_FALSE(found.established.needed_seconds);
}

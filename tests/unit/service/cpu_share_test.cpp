// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "service/cpu_share.hpp"

using namespace bpftune;
using namespace bpftune::service;
using namespace std::chrono_literals;

TEST_CASE("a thread that is always busy takes its share, after a burst") {
    MonoTime now{};
    CpuShare share(0.1, 50ms, now);
    Nanoseconds used{};
    int busy = 0;
    while (now < MonoTime{} + 100s) {
        used += 1ms;
        now += 1ms;
        const Nanoseconds rest = share.rest(used, now);
        if (busy < 50) CHECK(rest == 0ns); // the burst
        ++busy;
        now += rest;
    }
    CHECK(used > 9900ms);
    CHECK(used < 10100ms);
}

TEST_CASE("time that was not used is not saved beyond one burst") {
    MonoTime now{};
    CpuShare share(0.1, 50ms, now);
    now += 1h;
    CHECK(share.rest(50ms, now) == 0ns);
    CHECK(share.rest(51ms, now) == 10ms);
    now += 10ms;
    CHECK(share.rest(51ms, now) == 0ns);
}

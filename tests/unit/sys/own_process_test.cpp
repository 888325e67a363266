// SPDX-License-Identifier: Apache-2.0
#include "sys/own_process.hpp"

#include <chrono>

#include <catch2/catch.hpp>

#include "sys/clock.hpp"
#include "sys/fd.hpp"

#include <fcntl.h>

using namespace bpftune;

TEST_CASE("the process knows what it takes") {
    const ProcessUse before = sys::own_process();
    CHECK(before.resident_bytes.value_or(0) > 1'000'000);
    CHECK(before.virtual_bytes > before.resident_bytes);
    CHECK(before.max_fds > before.open_fds);
    REQUIRE(before.started);
    CHECK(*before.started < sys::now().wall);
    CHECK(*before.started > sys::now().wall - std::chrono::hours(1));
    const sys::Fd one_more(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    CHECK(sys::own_process().open_fds == *before.open_fds + 1);
    CHECK(sys::own_process().cpu_seconds >= before.cpu_seconds);
}

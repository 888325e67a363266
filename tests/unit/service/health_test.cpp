// SPDX-License-Identifier: Apache-2.0
#include "service/health.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::service;
using namespace std::chrono_literals;

namespace {

constexpr MonoTime now{100s};

} // namespace

TEST_CASE("before its first tick a service is neither alive nor ready") {
    CHECK(views::to_text(health_document({}, now, {})) ==
          R"({"schema":1,"alive":false,"ready":false,"why":"no tick for too long"})");
}

TEST_CASE("it is alive until the next tick is late, and ready only while it is alive") {
    const Health starting{.deadline = now};
    CHECK(views::to_text(health_document(starting, now, {})) ==
          R"({"schema":1,"alive":true,"ready":false,"why":"probes are being attached"})");
    const Health good{.deadline = now, .unready = ""};
    CHECK(views::to_text(health_document(good, now, {})) == R"({"schema":1,"alive":true,"ready":true,"why":null})");
    CHECK(views::to_text(health_document(good, now + 1ns, {})) ==
          R"({"schema":1,"alive":false,"ready":false,"why":"no tick for too long"})");
}

TEST_CASE("a service without its HTTP port is alive and ready, and says why it has none") {
    const Health good{.deadline = now, .unready = ""};
    CHECK(views::to_text(health_document(good, now, "in use")) ==
          R"({"schema":1,"alive":true,"ready":true,"why":null,"http_error":"in use"})");
}

TEST_CASE("a service of which a process may make any system call is alive and ready, and says why") {
    const Health open{.deadline = now, .unready = "", .unrestricted = "the writer may make any system call: why"};
    CHECK(views::to_text(health_document(open, now, {})) ==
          R"({"schema":1,"alive":true,"ready":true,"why":null,)"
          R"("unrestricted":"the writer may make any system call: why"})");
}

// SPDX-License-Identifier: Apache-2.0
// An HTTP port whose address others may have, by real sockets on loopback.
#include "service/http_door.hpp"

#include <cerrno>

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::service;
using namespace std::chrono_literals;

namespace {

// Listens at 127.0.0.1.
struct Other {
    sys::Fd socket = listening();
    std::string address = "127.0.0.1:" + std::to_string(port_of(socket));

    static sys::Fd listening() {
        const auto any = ListenAddress::resolve("127.0.0.1:0");
        REQUIRE(any.has_value());
        auto socket = any->listen(1);
        REQUIRE(socket.has_value());
        return std::move(*socket);
    }
};

} // namespace

TEST_CASE("an address that another socket has is no error, and is had when it is free") {
    Other other;
    HttpDoor door;
    REQUIRE(door.open(other.address, MonoTime()).has_value());
    CHECK_FALSE(door.is_open());
    REQUIRE(door.error().has_value());
    CHECK(*door.error() == "cannot listen on " + other.address + ": Address already in use; --listen chooses another");

    door.keep_trying(MonoTime(10s));
    CHECK(door.error().has_value());
    other.socket.reset();
    door.keep_trying(MonoTime(10s + 100ms)); // too soon after the last time
    CHECK_FALSE(door.is_open());
    door.keep_trying(MonoTime(11s));
    CHECK(door.is_open());
    CHECK_FALSE(door.error().has_value());
    door.keep_trying(MonoTime(12s)); // nothing to do
    CHECK(door.is_open());
}

TEST_CASE("an address that is none, or is not this node's, is an error, and is not tried again") {
    HttpDoor door;
    for (const std::string address : {"foo", ":80", "1.2.3.4.5:1", "192.0.2.1:9810"}) {
        INFO(address);
        const auto opened = door.open(address, MonoTime());
        REQUIRE_FALSE(opened.has_value());
        CHECK(opened.error().message.find(address) != std::string::npos);
        CHECK(opened.error().code != EADDRINUSE);
    }
}

TEST_CASE("of two sockets at one address the second one is told that it is in use") {
    const Other other;
    const auto address = ListenAddress::resolve(other.address);
    REQUIRE(address.has_value());
    CHECK(address->listen(1).error().code == EADDRINUSE);
}

// SPDX-License-Identifier: Apache-2.0
#include "measure/target.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::measure;

namespace {

std::string read(std::string_view text) {
    const auto target = parse_target(text);
    return target ? fmt::format("{} {}", target->host, target->port) : "error: " + target.error().message;
}

} // namespace

TEST_CASE("a target is a host and a port, which is 80 if none is said") {
    CHECK(read("shop.example:8080") == "shop.example 8080");
    CHECK(read("192.0.2.1:1") == "192.0.2.1 1");
    CHECK(read("[2001:db8::1]:443") == "2001:db8::1 443");
    CHECK(read("shop.example") == "shop.example 80");
    CHECK(read("[::1]") == "::1 80");
}

TEST_CASE("what is no target is told why") {
    CHECK(read("") == "error: HOST:PORT or [IPv6]:PORT is expected");
    CHECK(read(":80") == "error: HOST:PORT or [IPv6]:PORT is expected");
    CHECK(read("[]:80") == "error: HOST:PORT or [IPv6]:PORT is expected");
    CHECK(read(std::string(254, 'a')) == "error: HOST:PORT or [IPv6]:PORT is expected");
    CHECK(read(std::string_view("a\0b:80", 6)) == "error: HOST:PORT or [IPv6]:PORT is expected");
    CHECK(read("::1") == "error: an IPv6 address goes in brackets: [IPv6]:PORT");
    CHECK(read("http://127.0.0.1:1/") == "error: HOST:PORT is expected, without 'http://'");
    CHECK(read("\x1b[2J://a") == "error: HOST:PORT is expected, without '\\x1b[2J://'");
    CHECK(read("[::1:80") == "error: the '[' is not closed: [IPv6]:PORT");
    CHECK(read("[::1]80") == "error: after the ']' a ':' and the port are expected");
    CHECK(read("a:") == "error: '' is no port: 1 to 65535");
    CHECK(read("a:0") == "error: '0' is no port: 1 to 65535");
    CHECK(read("a:65536") == "error: '65536' is no port: 1 to 65535");
    CHECK(read("a:http") == "error: 'http' is no port: 1 to 65535");
    CHECK(read("a:\x1b[2J") == "error: '\\x1b[2J' is no port: 1 to 65535");
}

TEST_CASE("addresses need no name server and are shown with their port") {
    const auto v4 = resolve({"127.0.0.1", 8080});
    REQUIRE(v4);
    CHECK(to_string(v4->front()) == "127.0.0.1:8080");
    CHECK(host_text(v4->front()) == "127.0.0.1");
    const auto v6 = resolve({"::1", 443});
    REQUIRE(v6);
    CHECK(to_string(v6->front()) == "[::1]:443");
    const auto none = resolve({"no..such\thost", 80});
    REQUIRE(!none);
    CHECK(none.error().message.starts_with("'no..such\\x09host' is not resolved: "));
}

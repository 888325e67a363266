// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "service/http_message.hpp"

using namespace bpftune::service;

TEST_CASE("a request is whole after an empty line, wherever its pieces end") {
    const std::string request = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    for (std::size_t known = 0; known < request.size(); ++known) {
        CHECK_FALSE(is_whole(request.substr(0, request.size() - 1), known));
        CHECK(is_whole(request, known));
    }
    CHECK(is_whole("GET / HTTP/1.0\n\n"));
    CHECK_FALSE(is_whole("GET / HTTP/1.0\n"));
}

TEST_CASE("a request that is too long is whole, and refused, with an end or without") {
    const std::string line = "GET / HTTP/1.1\r\n";
    const std::string fits = line + std::string(longest_http_request - line.size() - 4, 'x') + "\r\n\r\n";
    CHECK(parse_http(fits)->path == "/");
    CHECK(parse_http(fits + "what follows is not its own")->path == "/");
    for (const std::string& request : {"x" + fits, line + std::string(longest_http_request, 'x')}) {
        CHECK(is_whole(request));
        CHECK(parse_http(request).error().status.starts_with("431 "));
    }
}

TEST_CASE("of a request only method and path are of interest") {
    CHECK(parse_http("GET /metrics?x=/y HTTP/1.1\r\nContent-Length: 9999\r\n\r\n")->path == "/metrics");
    CHECK(parse_http("GET /metrics HTTP/1.1\r\n\r\n")->with_body);
    CHECK_FALSE(parse_http("HEAD /metrics HTTP/1.0\n\n")->with_body);
    CHECK(parse_http("get / HTTP/1.1\r\n\r\n").error().status.starts_with("405 "));
    for (const std::string_view line : {"", " ", "GET /", "GET / HTTP/2", "GET  HTTP/1.1"}) {
        INFO(line);
        const auto parsed = parse_http(std::string(line) + "\r\n\r\n");
        CHECK((!parsed || parsed->path.empty())); // which is no page
    }
}

TEST_CASE("the head of a response says how long its body is, and that the connection ends") {
    const std::string head = head_of(text_response("200 OK", "ok\n"));
    CHECK(head == "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 3\r\nConnection: close\r\n\r\n");
}

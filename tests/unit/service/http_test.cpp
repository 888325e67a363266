// SPDX-License-Identifier: Apache-2.0
// The HTTP port, by real connections over loopback.
#include <algorithm>
#include <array>
#include <list>
#include <string>
#include <thread>

#include <arpa/inet.h>
#include <catch2/catch.hpp>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include "service/http.hpp"
#include "sys/clock.hpp"
#include "sys/fd.hpp"

using namespace bpftune;
using namespace bpftune::service;

namespace {

// Where nobody's time is to pass, however slow the machine is.
constexpr Nanoseconds no_end = std::chrono::hours(1);

Health alive() { return {.deadline = sys::now().mono + std::chrono::hours(1)}; }

std::unique_ptr<HttpServer> started(Nanoseconds patience = HttpServer::default_patience) {
    const auto address = ListenAddress::resolve("127.0.0.1:0");
    REQUIRE(address.has_value());
    auto server = HttpServer::start(*address, patience);
    REQUIRE(server.has_value());
    (*server)->publish("some_metric 1\n", alive());
    return std::move(*server);
}

sys::Fd new_socket() {
    sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    constexpr timeval patience{.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(socket.value(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    return socket;
}

void connect_to(const HttpServer& server, const sys::Fd& socket) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(server.port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(socket.value(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0);
}

sys::Fd connect_to(const HttpServer& server) {
    sys::Fd socket = new_socket();
    connect_to(server, socket);
    return socket;
}

// False: the other side has ended it.
bool send(const sys::Fd& socket, const std::string& text) {
    return ::send(socket.value(), text.data(), text.size(), MSG_NOSIGNAL) == static_cast<ssize_t>(text.size());
}

bool await(const sys::Fd& socket, short events) {
    pollfd awaited{.fd = socket.value(), .events = events, .revents = 0};
    return ::poll(&awaited, 1, 60'000) == 1;
}

// All until its end.
std::string receive(const sys::Fd& socket) {
    std::string text;
    std::array<char, 4096> chunk{};
    for (ssize_t size = 0; (size = ::recv(socket.value(), chunk.data(), chunk.size(), 0)) > 0;)
        text.append(chunk.data(), static_cast<std::size_t>(size));
    return text;
}

std::string ask_for(const HttpServer& server, const std::string& request) {
    const auto socket = connect_to(server);
    send(socket, request);
    return receive(socket);
}

std::string get(const HttpServer& server, const std::string& path) {
    return ask_for(server, "GET " + path + " HTTP/1.1\r\nHost: localhost\r\n\r\n");
}

bool ends_well(const std::string& answer, const std::string& status, const std::string& body) {
    return answer.starts_with("HTTP/1.1 " + status) && answer.ends_with("\r\n\r\n" + body);
}

} // namespace

TEST_CASE("that a page was read as /metrics is known until the next one is published") {
    const auto server = started();
    ask_for(*server, "HEAD /metrics HTTP/1.0\r\n\r\n");
    get(*server, "/healthz");
    CHECK_FALSE(server->is_scraped());
    get(*server, "/metrics");
    CHECK(server->is_scraped());
    server->publish("some_metric 2\n", alive());
    CHECK_FALSE(server->is_scraped());
}

TEST_CASE("what is published is what /metrics says, and what /healthz and /readyz go by") {
    const auto server = started();
    CHECK(ends_well(get(*server, "/metrics"), "200 OK", "some_metric 1\n"));
    CHECK(get(*server, "/metrics").find("Content-Length: 14\r\n") != std::string::npos);
    CHECK(ends_well(get(*server, "/healthz?verbose"), "200 OK", "ok\n"));
    CHECK(ends_well(get(*server, "/readyz"), "503 ", "probes are being attached\n"));
    server->publish(std::string(3'000'000, 'm'), {.deadline = alive().deadline, .unready = ""});
    CHECK(ends_well(get(*server, "/readyz"), "200 OK", "ready\n"));
    server->publish(std::string(3'000'000, 'm'), {.deadline = {}, .unready = ""});
    for (const std::string path : {"/healthz", "/readyz"})
        CHECK(ends_well(get(*server, path), "503 ", "no tick for too long\n"));
    CHECK(get(*server, "/metrics").size() > 3'000'000);
}

TEST_CASE("what is no GET or HEAD of a page is refused") {
    const auto server = started();
    CHECK(get(*server, "/nothing").starts_with("HTTP/1.1 404 "));
    const std::string page = get(*server, "/");
    CHECK(page.starts_with("HTTP/1.1 200 OK\r\nContent-Type: text/html"));
    CHECK(page.find(BPFTUNE_VERSION) != std::string::npos);
    for (const std::string_view path : {"/metrics", "/healthz", "/readyz"})
        CHECK(page.find(fmt::format("href=\"{}\"", path)) != std::string::npos);
    CHECK(ends_well(ask_for(*server, "HEAD /metrics HTTP/1.0\r\n\r\n"), "200 OK", ""));
    CHECK(ask_for(*server, "POST /metrics HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello").starts_with("HTTP/1.1 405 "));
    for (const std::string line :
         {"", " ", "GET", "GET /metrics", "GET  HTTP/1.1", "GET /metrics SPDY/3", "\xff\0\x1b"})
        CHECK(ask_for(*server, line + "\r\n\r\n").starts_with("HTTP/1.1 40"));
    CHECK(ask_for(*server, "GET /" + std::string(9000, 'x')).starts_with("HTTP/1.1 431 "));
    CHECK(ask_for(*server, "GET /healthz HTTP/1.1\r\nX: " + std::string(9000, 'x') + "\r\n\r\n")
              .starts_with("HTTP/1.1 431 "));
    CHECK(get(*server, "/healthz").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("a request in pieces is answered, also when the client has closed its side") {
    const auto server = started();
    const auto socket = connect_to(*server);
    for (const std::string piece : {"GET /hea", "lthz HTTP/1.1\r", "\nHost: x\r\n", "\r\n"}) {
        send(socket, piece);
        get(*server, "/healthz"); // it had its turn
    }
    ::shutdown(socket.value(), SHUT_WR);
    CHECK(ends_well(receive(socket), "200 OK", "ok\n"));
}

TEST_CASE("connections that say nothing keep nobody from being answered") {
    const auto server = started();
    std::list<sys::Fd> silent;
    for (int i = 0; i < 100; ++i) {
        silent.push_back(connect_to(*server));
        if (i % 3 == 0) send(silent.back(), "GET /metrics HT");
    }
    CHECK(get(*server, "/healthz").starts_with("HTTP/1.1 200 "));
    CHECK(receive(silent.front()).empty()); // the oldest made room
    CHECK(receive(silent.back()).empty());  // its time has passed
    CHECK(get(*server, "/healthz").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("requests that are not whole end nobody's answer, and answers that are not read keep nobody from asking") {
    const auto server = started(no_end);
    server->publish(std::string(3'000'000, 'm'), alive());
    std::list<sys::Fd> slow;
    for (int i = 0; i < 16; ++i) {
        slow.push_back(connect_to(*server));
        send(slow.back(), "GET /metrics HTTP/1.1\r\n\r\n");
        CHECK(await(slow.back(), POLLIN)); // it is being answered
    }
    std::list<sys::Fd> silent;
    for (int i = 0; i < 100; ++i) silent.push_back(connect_to(*server));
    CHECK(receive(slow.back()).size() > 3'000'000);
    CHECK(get(*server, "/healthz").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("of those that are answered the one that reads nothing makes room, and not the oldest, which reads") {
    const auto server = started(no_end);
    server->publish(std::string(4'000'000, 'm'), alive());
    std::list<sys::Fd> answered;
    const auto ask_too = [&] {
        answered.push_back(connect_to(*server));
        send(answered.back(), "GET /metrics HTTP/1.1\r\n\r\n");
        CHECK(await(answered.back(), POLLIN)); // it is being answered
    };
    for (int i = 0; i < 16; ++i) ask_too();
    std::string taken(2'000'000, ' '); // more than was sent before it was read
    REQUIRE(::recv(answered.front().value(), taken.data(), taken.size(), MSG_WAITALL) == 2'000'000);
    ask_too();
    const auto is_cut = [](const sys::Fd& socket) { return receive(socket).size() < 4'000'000; };
    CHECK(receive(answered.front()).size() > 2'000'000);
    CHECK(std::count_if(std::next(answered.begin()), answered.end(), is_cut) == 1);
}

TEST_CASE("what is sent without end after a request ends its connection") {
    const auto server = started();
    const auto socket = new_socket();
    constexpr int little = 4096; // that is sent and not received
    ::setsockopt(socket.value(), SOL_SOCKET, SO_SNDBUF, &little, sizeof little);
    connect_to(*server, socket);
    send(socket, "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    std::size_t sent = 0;
    for (const std::string much(1000, 'x'); send(socket, much);) sent += much.size();
    CHECK(sent < 1'000'000); // what the sockets hold is some of it
    CHECK(get(*server, "/healthz").starts_with("HTTP/1.1 200 "));
}

TEST_CASE("without a free descriptor it answers by the one that it keeps") {
    const auto server = started();
    std::list<sys::Fd> clients;
    for (int i = 0; i < 3; ++i) clients.push_back(new_socket());
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    rlimit none = before;
    none.rlim_cur = static_cast<rlim_t>(sys::Fd(::dup(STDIN_FILENO)).value()); // the lowest that is free
    ::setrlimit(RLIMIT_NOFILE, &none);
    for (const sys::Fd& one : clients) {
        connect_to(*server, one);
        send(one, "GET /healthz HTTP/1.1\r\n\r\n");
        CHECK(ends_well(receive(one), "200 OK", "ok\n")); // and stays connected
    }
    ::setrlimit(RLIMIT_NOFILE, &before);
}

TEST_CASE("an accept() that fails for want of descriptors is tried again, and the end is not waited for") {
    auto server = started();
    rlimit before{};
    ::getrlimit(RLIMIT_NOFILE, &before);
    // Three: no more than it waits for, so that poll() fails as well.
    const rlim_t left = GENERATE(3, 1);
    const auto one = connect_to(*server);
    const auto two = connect_to(*server);
    rlimit none = before;
    none.rlim_cur = left;
    ::setrlimit(RLIMIT_NOFILE, &none);
    send(one, "GET /healthz HTTP/1.1\r\n\r\n");
    send(two, "GET /healthz HTTP/1.1\r\n\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    const bool ends_meanwhile = GENERATE(false, true);
    if (ends_meanwhile) server.reset();
    ::setrlimit(RLIMIT_NOFILE, &before);
    if (ends_meanwhile) return;
    CHECK(ends_well(get(*server, "/healthz"), "200 OK", "ok\n"));
}

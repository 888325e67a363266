// SPDX-License-Identifier: Apache-2.0
// What stands between a socket and gRPC.
#include <array>
#include <string>
#include <thread>

#include <catch2/catch.hpp>
#include <poll.h>
#include <sys/socket.h>

#include "kube/cri_relay.hpp"

using namespace bpftune;
using namespace bpftune::kube;

namespace {

struct Relayed {
    sys::Fd peer;
    std::unique_ptr<CriRelay> relay;
    sys::Fd inner;
};

Relayed relayed(std::size_t most) {
    std::array<int, 2> pair{};
    REQUIRE(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair.data()) == 0);
    auto relay = CriRelay::start(sys::Fd(pair[0]), most);
    REQUIRE(relay.has_value());
    auto inner = (*relay)->take_inner();
    return {.peer = sys::Fd(pair[1]), .relay = std::move(*relay), .inner = std::move(inner)};
}

// As much as the other side takes before it hangs up.
void send_all(const sys::Fd& socket, const std::string& bytes) {
    for (std::size_t sent = 0; sent < bytes.size();) {
        const ssize_t size = ::send(socket.value(), bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
        if (size < 0 && errno != EAGAIN) return;
        if (size < 0) std::this_thread::yield();
        sent += size < 0 ? 0 : static_cast<std::size_t>(size);
    }
}

// `most` bytes, or all until its end.
std::string receive(const sys::Fd& socket, std::size_t most) {
    std::string bytes;
    std::array<char, 65536> chunk{};
    while (bytes.size() < most) {
        pollfd awaited{.fd = socket.value(), .events = POLLIN, .revents = 0};
        if (::poll(&awaited, 1, 60'000) != 1) break;
        const ssize_t size = ::recv(socket.value(), chunk.data(), std::min(chunk.size(), most - bytes.size()), 0);
        if (size <= 0) break;
        bytes.append(chunk.data(), static_cast<std::size_t>(size));
    }
    return bytes;
}

std::string pattern(std::size_t size) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>(i * 7 + i / 251);
    return bytes;
}

} // namespace

TEST_CASE("all bytes pass, both ways, while neither side hurries") {
    const auto sides = relayed(8 << 20);
    const std::string bytes = pattern(4 << 20);
    std::thread down([&] { send_all(sides.peer, bytes); });
    CHECK(receive(sides.inner, bytes.size()) == bytes);
    down.join();
    std::thread up([&] { send_all(sides.inner, bytes); });
    CHECK(receive(sides.peer, bytes.size()) == bytes);
    up.join();
    CHECK_FALSE(sides.relay->has_exceeded());
}

TEST_CASE("a peer that sends too much is hung up on") {
    const auto sides = relayed(1 << 20);
    std::thread down([&] { send_all(sides.peer, pattern(8 << 20)); });
    CHECK(receive(sides.inner, 8 << 20).size() < 2 << 20);
    down.join();
    CHECK(sides.relay->has_exceeded());
}

TEST_CASE("as much again may come when it is allowed") {
    const auto sides = relayed(1 << 20);
    const std::string bytes = pattern(700 << 10);
    for (int i = 0; i < 3; ++i) {
        sides.relay->allow();
        std::thread down([&] { send_all(sides.peer, bytes); });
        CHECK(receive(sides.inner, bytes.size()) == bytes);
        down.join();
    }
    CHECK_FALSE(sides.relay->has_exceeded());
}

TEST_CASE("a side that ends ends the other") {
    auto sides = relayed(1 << 20);
    SECTION("the peer, after its last words") {
        send_all(sides.peer, "bye");
        sides.peer.reset();
        CHECK(receive(sides.inner, 100) == "bye");
    }
    SECTION("our own") {
        sides.inner.reset();
        CHECK(receive(sides.peer, 100).empty());
    }
    SECTION("the relay") {
        sides.relay.reset();
        CHECK(receive(sides.peer, 100).empty());
    }
}

// SPDX-License-Identifier: Apache-2.0
// Attacks at the HTTP port, by somebody who may do nothing, in the node's own namespace.
#include <set>

#include <catch2/catch.hpp>

#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

const std::string much(16'384, 'x');

// Says this first, and then that without end.
std::function<void()> talker(const Attacked& attacked, std::string first, std::string then) {
    auto connections = std::make_shared<Connections>(attacked.port(), 40);
    return [connections, first = std::move(first), then = std::move(then)] {
        connections->each([&](int socket, bool is_new) { return say(socket, is_new ? first : then); });
    };
}

// So many connections, each of which does a little at each turn.
std::function<void()> dawdler(const Attacked& attacked, std::size_t count, std::function<bool(int, bool)> turn) {
    auto connections = std::make_shared<Connections>(attacked.port(), count);
    return [connections, turn = std::move(turn)] {
        connections->each(turn);
        std::this_thread::sleep_for(10ms);
    };
}

} // namespace

TEST_CASE("a body in chunks without end hurts nobody") {
    Attacked attacked;
    const Attacker attacker(
        talker(attacked, "POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", "4000\r\n" + much + "\r\n"));
    attacked.holds_out(attacker);
}

TEST_CASE("a GET with a body without end hurts nobody") {
    Attacked attacked;
    const Attacker attacker(talker(attacked, "GET /metrics HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", much));
    attacked.holds_out(attacker);
}

TEST_CASE("header lines without end, and one line without end, hurt nobody") {
    Attacked attacked;
    const std::string then = GENERATE(std::string("X: y\r\n"), much);
    const Attacker attacker(talker(attacked, "GET / HTTP/1.1\r\n", then));
    attacked.holds_out(attacker);
}

TEST_CASE("headers that come byte by byte hurt nobody") {
    Attacked attacked;
    const Attacker attacker(dawdler(attacked, 200, [](int socket, bool is_new) {
        return say(socket, is_new ? "GET /healthz HTTP/1.1\r\nX: " : "y") && hear(socket, 1);
    }));
    attacked.holds_out(attacker);
}

TEST_CASE("readers that take a byte at a time hurt nobody") {
    Attacked attacked;
    const Attacker attacker(dawdler(attacked, 200, [](int socket, bool is_new) {
        return (!is_new || say(socket, "GET /metrics HTTP/1.1\r\n\r\n")) && hear(socket, 1);
    }));
    attacked.holds_out(attacker);
}

TEST_CASE("1,400 connections that say nothing hurt nobody") {
    Attacked attacked;
    const Attacker attacker(dawdler(attacked, 1400, [](int socket, bool) { return hear(socket, 1); }));
    attacked.holds_out(attacker);
}

TEST_CASE("requests without a pause hurt nobody") {
    Attacked attacked;
    Connections connections(attacked.port(), 14, 0);
    const Attacker attacker([&] {
        connections.each([](int socket, bool is_new) {
            return (!is_new || say(socket, "GET /metrics HTTP/1.1\r\n\r\n")) && hear(socket, 65'536);
        });
    });
    attacked.holds_out(attacker);
}

TEST_CASE("a service without a free descriptor goes on to answer, beside connections that say nothing") {
    Attacked attacked;
    std::set<int> taken;
    for (const auto& fd : fs::directory_iterator(fmt::format("/proc/{}/fd", attacked.pid())))
        taken.insert(std::stoi(fd.path().filename()));
    rlim_t lowest_free = 0;
    while (taken.contains(static_cast<int>(lowest_free))) ++lowest_free;
    rlimit none{};
    must(::prlimit(attacked.pid(), RLIMIT_NOFILE, nullptr, &none) == 0, "read its limit");
    none.rlim_cur = lowest_free;
    must(::prlimit(attacked.pid(), RLIMIT_NOFILE, &none, nullptr) == 0, "take its descriptors");
    const Attacker attacker(dawdler(attacked, 40, [](int socket, bool) { return hear(socket, 1); }));
    attacked.holds_out(attacker);
}

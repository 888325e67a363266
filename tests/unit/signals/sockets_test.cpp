// SPDX-License-Identifier: Apache-2.0
#include "signals/sockets.hpp"

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace bpftune::signals;

namespace {

constexpr NetnsId shop{.cookie = 7, .inode = 4026532247};
constexpr NetnsId bank{.cookie = 8, .inode = 4026532248};

probes::NetnsReading netns(const NetnsId& id, bool own_connections = false) {
    probes::NetnsReading reading;
    reading.netns = id;
    reading.own_connections = own_connections;
    return reading;
}

Snapshot two_namespaces() {
    Snapshot snapshot;
    snapshot.sources.fill(Rung::tracepoint);
    snapshot.tcp.resize(2);
    snapshot.tcp[0].netns = shop;
    snapshot.tcp[1].netns = bank;
    return snapshot;
}

std::vector<probes::SocketsReading> five_in_close_wait() { return {{.netns = shop, .states = {.close_wait = 5}}}; }

} // namespace

TEST_CASE("a namespace that was there and of which no socket was found has none, one that came later is not known") {
    SocketTable table;
    table.counted(std::vector{netns(shop), netns(bank)}, five_in_close_wait());
    Snapshot snapshot = two_namespaces();
    table.fill(snapshot);
    CHECK(snapshot.tcp[0].states == TcpStates{.close_wait = 5});
    CHECK(snapshot.tcp[1].states == TcpStates{});

    table.counted(std::vector{netns(shop)}, five_in_close_wait());
    table.fill(snapshot);
    CHECK(snapshot.tcp[0].states == TcpStates{.close_wait = 5});
    CHECK_FALSE(snapshot.tcp[1].states.has_value());
}

TEST_CASE("sockets that could not be counted, or are in a table of their own, are not known") {
    SocketTable table;
    Snapshot snapshot = two_namespaces();
    table.counted(std::vector{netns(shop), netns(bank, true)}, five_in_close_wait());
    table.fill(snapshot);
    CHECK(snapshot.tcp[0].states.has_value());
    CHECK_FALSE(snapshot.tcp[1].states.has_value());
    table.counted(std::vector{netns(shop), netns(bank)}, std::nullopt);
    table.fill(snapshot);
    CHECK_FALSE(snapshot.tcp[0].states.has_value());
}

TEST_CASE("who holds most in CLOSE_WAIT is told as long as a census finds some, and its name is safe to print") {
    SocketTable table;
    Snapshot snapshot = two_namespaces();
    table.held(
        std::vector{probes::CloseWaitReading{.netns = bank, .holder = {.pid = 7, .command = "a\x1b", .held = 3}}});
    table.fill(snapshot);
    CHECK_FALSE(snapshot.tcp[0].close_wait_holder.has_value());
    REQUIRE(snapshot.tcp[1].close_wait_holder.has_value());
    CHECK(snapshot.tcp[1].close_wait_holder->pid == 7);
    CHECK(snapshot.tcp[1].close_wait_holder->held == 3);
    CHECK(snapshot.tcp[1].close_wait_holder->command.find('\x1b') == std::string::npos);
    table.held({});
    table.fill(snapshot);
    CHECK_FALSE(snapshot.tcp[1].close_wait_holder.has_value());
}

TEST_CASE("listeners are counted for their namespaces, where some rung lists them") {
    const SocketTable table;
    Snapshot snapshot = two_namespaces();
    snapshot.listeners.resize(3);
    for (Listener& listener : snapshot.listeners) listener.netns = bank;
    table.fill(snapshot);
    CHECK(snapshot.tcp[0].listening == 0U);
    CHECK(snapshot.tcp[1].listening == 3U);
    snapshot.sources.fill(Rung::none);
    table.fill(snapshot);
    CHECK_FALSE(snapshot.tcp[1].listening.has_value());
}

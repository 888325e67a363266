// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <string>
#include <utility>
#include <vector>

#include "controller/conflict.hpp"
#include "controller/state.hpp"
#include "controller/step.hpp"
#include "tunables/catalog.hpp"

using namespace bpftune;
using namespace bpftune::controller;

namespace {

constexpr NetnsId host{.cookie = 1, .inode = 4026531840};

Snapshot with_write_of(std::uint64_t first, std::vector<std::uint64_t> more) {
    Snapshot snapshot;
    snapshot.host = host;
    snapshot.sysctl_writes = {{.time = MonoTime(std::chrono::seconds(1)),
                               .netns = host,
                               .sysctl = "net/ipv4/tcp_mem",
                               .value = first,
                               .more = std::move(more),
                               .pid = 812,
                               .command = "tuned",
                               .text = {}}};
    return snapshot;
}

std::string who(const Snapshot& snapshot, TunableId tunable, std::uint64_t value) {
    return who_had_set(snapshot, {tunable, host}, value).value_or("nobody");
}

} // namespace

TEST_CASE("of a file with several tunables' numbers, who set each of them is found by its own number") {
    const Snapshot snapshot = with_write_of(300, {400, 600});
    CHECK(who(snapshot, TunableId::tcp_mem, 600) == "tuned (pid 812)");
    CHECK(who(snapshot, TunableId::tcp_mem_pressure, 400) == "tuned (pid 812)");
    CHECK(who(snapshot, TunableId::tcp_mem_low, 300) == "tuned (pid 812)");
    CHECK(who(snapshot, TunableId::tcp_mem, 400) == "nobody");
    CHECK(who(snapshot, TunableId::tcp_mem_low, 600) == "nobody");
    CHECK(who(snapshot, TunableId::udp_mem, 600) == "nobody");
}

TEST_CASE("a write of the first numbers alone explains no other") {
    const Snapshot snapshot = with_write_of(300, {400});
    CHECK(who(snapshot, TunableId::tcp_mem_pressure, 400) == "tuned (pid 812)");
    CHECK(who(snapshot, TunableId::tcp_mem, 600) == "nobody");
}

TEST_CASE("a file with several tunables' numbers is ours where one of them is") {
    State state;
    CHECK_FALSE(holds(state, host, "net/ipv4/tcp_mem"));
    state.held[{TunableId::tcp_mem_low, host}] = {};
    CHECK(holds(state, host, "net/ipv4/tcp_mem"));
    CHECK_FALSE(holds(state, host, "net/ipv4/udp_mem"));
}

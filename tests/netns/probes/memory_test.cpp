// SPDX-License-Identifier: Apache-2.0
// Who holds the memory that sockets share, and whose sockets do not move.
#include <algorithm>
#include <chrono>
#include <thread>

#include <catch2/catch.hpp>

#include "datagrams.hpp"
#include "netns/rungs.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;
using namespace std::chrono_literals;

namespace {

constexpr auto look_every = 250ms;
constexpr int looks = 16; // longer than what does not move takes to be told, 3 s

MemoryReading::Pool udp_of(std::span<const MemoryReading> readings, const Namespace& netns) {
    const auto found =
        std::ranges::find(readings, netns.inode(), [](const MemoryReading& each) { return each.netns.inode; });
    return found == readings.end() ? MemoryReading::Pool{} : found->udp;
}

std::optional<std::vector<MemoryReading>> look(Probes& probes) {
    must(probes.listeners({}).has_value(), "look through descriptors");
    return probes.memory().value();
}

} // namespace

TEST_CASE("a socket that is read from one datagram at a time moves, and one that nobody reads does not") {
    Probes probes = open_probes();
    if (!probes.looks_at_udp()) return; // this rung does not look through descriptors
    const Namespace slow, stuck;
    const Datagrams read_slowly(slow), never_read(stuck);
    read_slowly.send(2 * looks); // its reader takes all of them at the first read
    never_read.send(2 * looks);
    CHECK_FALSE(look(probes));
    probes.ask_for_memory(true);
    CHECK_FALSE(probes.memory().value());
    for (int i = 0; i < looks; ++i) {
        must(look(probes).has_value(), "look at memory");
        CHECK(read_slowly.read(1) == 1);
        std::this_thread::sleep_for(look_every);
    }
    const auto readings = look(probes);
    REQUIRE(readings);
    CHECK(udp_of(*readings, slow).held > 0);
    CHECK(udp_of(*readings, slow).still == 0);
    CHECK(udp_of(*readings, stuck).held > 0);
    CHECK(udp_of(*readings, stuck).still == udp_of(*readings, stuck).held);

    probes.ask_for_memory(false);
    probes.ask_for_memory(true); // nobody has looked since
    CHECK_FALSE(probes.memory().value());
}

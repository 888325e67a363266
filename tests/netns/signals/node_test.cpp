// SPDX-License-Identifier: Apache-2.0
// What the running kernel tells of itself.
#include "signals/node.hpp"

#include <filesystem>
#include <thread>

#include <catch2/catch.hpp>

#include "sys/capabilities.hpp"
#include "sys/clock.hpp"

using namespace bpftune;
using namespace bpftune::signals;

namespace {

void check_plausible(const UnitBytes& bytes, bool conntrack) {
    CHECK(bytes.conntrack_entry.has_value() == conntrack);
    if (conntrack) CHECK((*bytes.conntrack_entry >= 200 && *bytes.conntrack_entry <= 1024));
    REQUIRE(bytes.queued_connection);
    CHECK((*bytes.queued_connection > 2304 && *bytes.queued_connection < 16384));
    CHECK(bytes.full_connection > bytes.queued_connection);
}

} // namespace

TEST_CASE("the size of a conntrack entry and of a connection that waits is that of this kernel, without capabilities") {
    const bool conntrack = std::filesystem::exists("/proc/sys/net/netfilter/nf_conntrack_max");
    check_plausible(NodeReader().unit_bytes(), conntrack);
    UnitBytes bare;
    bool dropped = false;
    std::thread([&] { // capabilities are a thread's own
        dropped = sys::keep_capabilities({}).has_value();
        bare = NodeReader().unit_bytes();
    })
        .join();
    REQUIRE(dropped);
    check_plausible(bare, conntrack);
}

TEST_CASE("the guards are known on this kernel, but for PSI where it was not built") {
    NodeReader reader;
    reader.tick(sys::now().mono);
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    reader.tick(sys::now().mono + std::chrono::minutes(1)); // /proc/stat is not read at every tick
    const Guards& guards = reader.guards();
    CHECK(guards.memory_available_bytes);
    CHECK(guards.memory_pressure.has_value() == std::filesystem::exists("/proc/pressure/memory"));
    REQUIRE(guards.tcp_memory);
    CHECK(guards.tcp_memory->pressure_bytes < guards.tcp_memory->high_bytes);
    REQUIRE(guards.softirq);
    CHECK((*guards.softirq >= 0 && *guards.softirq <= 100));
}

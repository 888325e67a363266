// SPDX-License-Identifier: Apache-2.0
// The probe `sysctl`: who writes, in which namespace, and nothing of what is not asked for.
#include <catch2/catch.hpp>

#include "netns/actuators/fixtures.hpp"
#include "netns/rungs.hpp"
#include "sys/files.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using probes::SysctlWriteEvent;

namespace {

constexpr auto somaxconn = "/proc/sys/net/core/somaxconn";

probes::Probes open_watching(int own_pid = 0) {
    return open_probes(
        {.event_interval = std::chrono::hours(1), .sysctls = {"net/core/somaxconn"}, .own_pid = own_pid});
}

std::vector<SysctlWriteEvent> writes_of(probes::Probes& probes, const NetnsId& netns) {
    std::vector<SysctlWriteEvent> writes;
    probes.drain([&](const probes::Event& event) {
        const auto* write = std::get_if<SysctlWriteEvent>(&event);
        if (write != nullptr && write->netns.inode == netns.inode) writes.push_back(*write);
    });
    return writes;
}

// 1: the kernel took it.
std::uint64_t write(const std::string& path, const std::string& text) {
    return sys::write_file(path, text).has_value() ? 1 : 0;
}

bool is_blind(const probes::Probes& probes) {
    return bpftune::testing::is_blind(probes.rung(Probe::sysctl) == Rung::cgroup, "who writes a sysctl");
}

} // namespace

TEST_CASE("who writes a watched sysctl is seen before it is done, in any namespace and with any name") {
    const Namespace netns;
    auto probes = open_watching();
    if (is_blind(probes)) return;
    constexpr auto hostile = "\x1b[2J\xff\\\"\n";
    const Process writer(netns, [&] {
        ::prctl(PR_SET_NAME, hostile);
        return write(somaxconn, "0x300\n");
    });
    CHECK(writer.value() == 1);
    CHECK(netns.read("sys/net/core/somaxconn") == "768\n");
    const NetnsId id = netns.inside([] { return sys::own_netns().value(); });
    const auto writes = writes_of(probes, id);
    REQUIRE(writes.size() == 1);
    CHECK(writes[0].pid == writer.pid());
    CHECK(writes[0].command == hostile);
    CHECK(writes[0].sysctl == "net/core/somaxconn");
    CHECK(writes[0].value == "0x300\n");
    CHECK(writes[0].time.time_since_epoch().count() > 0);
    if (writes[0].netns.cookie != 0) CHECK(writes[0].netns == id);
}

TEST_CASE("a write that the kernel refuses is seen as well, and does nothing") {
    const Namespace netns;
    auto probes = open_watching();
    if (is_blind(probes)) return;
    const std::string before = netns.read("sys/net/core/somaxconn");
    const std::string much(1000, '9');
    const Process writer(netns, [&] { return write(somaxconn, much); });
    CHECK(writer.value() == 0);
    CHECK(netns.read("sys/net/core/somaxconn") == before);
    const auto writes = writes_of(probes, netns.inside([] { return sys::own_netns().value(); }));
    REQUIRE(writes.size() == 1);
    CHECK(writes[0].value == much.substr(0, 31));
}

TEST_CASE("reads, other sysctls and our own writes are no news, and whoever writes without end is seen four times") {
    const Namespace netns;
    auto probes = open_watching(::getpid());
    if (is_blind(probes)) return;
    const NetnsId id = netns.inside([] { return sys::own_netns().value(); });
    netns.write("sys/net/core/somaxconn", "500");
    const Process other(netns, [] { return write("/proc/sys/net/ipv4/tcp_max_syn_backlog", "500"); });
    CHECK(other.value() == 1);
    CHECK(netns.read("sys/net/core/somaxconn") == "500\n");
    CHECK(writes_of(probes, id).empty());
    const Process flood(netns, [] {
        std::uint64_t taken = 0;
        for (int i = 0; i < 1000; ++i) taken += write(somaxconn, std::to_string(1000 + i));
        return taken;
    });
    CHECK(flood.value() == 1000);
    CHECK(netns.read("sys/net/core/somaxconn") == "1999\n");
    CHECK(writes_of(probes, id).size() == 4);
    CHECK(probes.lost_events() == 0);
}

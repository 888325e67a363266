// SPDX-License-Identifier: Apache-2.0
// As parity_test.cpp: the probe `buffers`, whose rows are flows and UDP sockets.
#include <catch2/catch.hpp>

#include <array>

#include <linux/sock_diag.h>

#include "netns/probes/datagrams.hpp"
#include "netns/probes/delay.hpp"
#include "netns/signals/sides.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

// SK_MEMINFO_* of a socket, as the kernel itself tells it.
std::uint64_t told_of(int socket, int what) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> numbers{};
    socklen_t size = sizeof numbers;
    must(::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, numbers.data(), &size) == 0, "SO_MEMINFO");
    return numbers[static_cast<std::size_t>(what)];
}

std::uint64_t buffer_errors(const Namespace& netns) {
    return sys::netstat_value(netns.read("net/snmp"), "Udp", "RcvbufErrors").value();
}

// Looks until every side has so many in this field, a minute at most.
bool look_until(Sides& sides, std::string_view signal, std::uint64_t value, const Keys& keys) {
    return comes_true([&] {
        ::poll(nullptr, 0, 260); // looks are some time of the kernel's apart
        sides.look();
        return std::ranges::all_of(sides.all(),
                                   [&](const Side& side) { return shown(side.seen, signal, keys) == Number(value); });
    });
}

// A way of 25 ms each way with room in both sysctls.
struct Far {
    Namespace from;
    Namespace to;
    Process sender{from, [] { return std::uint64_t{0}; }}; // so that their sysctls are read
    Process receiver{to, [] { return std::uint64_t{0}; }};
    Delay delay;

    explicit Far(unsigned lost = 0) : delay(from, to, 25ms, lost) {
        to.write("sys/net/ipv4/tcp_rmem", "4096 131072 33554432");
        from.write("sys/net/ipv4/tcp_wmem", "4096 131072 33554432");
    }
};

} // namespace

TEST_CASE("the rung of buffers counts what a UDP socket drops as the kernel does") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const Datagrams socket(netns, AF_INET, 8192);
    Sides sides(Probe::buffers);
    if (sides.all().empty()) return;
    socket.send(100);
    const std::uint64_t drops = told_of(socket.fd(), SK_MEMINFO_DROPS);
    CHECK(drops > 50);
    CHECK(drops == buffer_errors(netns));
    REQUIRE(look_until(sides, "udp.drops", drops, row_of(netns)));
    sides.expect("udp.drops", drops, row_of(netns));
    sides.expect("udp.overflows", drops, row_of(netns));
    sides.expect("udp.netns_overflows", buffer_errors(netns), row_of(netns));
    sides.expect("udp.queue", told_of(socket.fd(), SK_MEMINFO_RMEM_ALLOC), row_of(netns));
    sides.expect("udp.buffer", told_of(socket.fd(), SK_MEMINFO_RCVBUF), row_of(netns));
    sides.expect("udp.left_out", 0, row_of(netns));
}

TEST_CASE("the rung of buffers sees flows that are held back by a size that their application set") {
    const Far far;
    Sides sides(Probe::buffers);
    if (sides.all().empty()) return;
    SECTION("to receive") {
        const Stream stream(far.from, far.to, {.rcvbuf = 100'000});
        CHECK(look_until(sides, "buffers.receiving_set_by_application", 1, row_of(far.to)));
        sides.expect("buffers.receiving_set_by_application", 1, row_of(far.to));
    }
    SECTION("to send") {
        const Stream stream(far.from, far.to, {.sndbuf = 100'000});
        CHECK(look_until(sides, "buffers.sending_set_by_application", 1, row_of(far.from)));
        sides.expect("buffers.sending_set_by_application", 1, row_of(far.from));
    }
}

TEST_CASE("the rung of buffers sees flows that lose packets which had not to wait, and who chose their control") {
    const Far far(10);
    far.from.write("sys/net/ipv4/tcp_congestion_control", "reno"); // which every namespace may choose
    Sides sides(Probe::buffers);
    if (sides.all().empty()) return;
    const bool chooses = GENERATE(false, true);
    const Stream stream(far.from, far.to, {.chooses = chooses});
    const std::string_view signal = chooses ? "buffers.losing_set_by_application" : "buffers.losing_held_back";
    CHECK(look_until(sides, signal, 1, row_of(far.from)));
    sides.expect(signal, 1, row_of(far.from));
}

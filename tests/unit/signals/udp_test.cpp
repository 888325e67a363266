// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/udp.hpp"

using namespace bpftune;
using namespace bpftune::probes;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

constexpr NetnsId here{.cookie = 12, .inode = 4026532247};

NetnsReading netns(std::uint64_t received, std::uint64_t errors) {
    NetnsReading reading;
    reading.netns = here;
    reading.udp = {.received = received, .buffer_errors = errors};
    return reading;
}

UdpReading socket_with(std::uint64_t cookie, std::uint64_t drops) {
    UdpReading reading;
    reading.netns = here;
    reading.cookie = cookie;
    reading.local = {"10.0.0.2", 53};
    reading.command = "unbound\x1b";
    reading.drops = drops;
    return reading;
}

MonoTime at(Nanoseconds time) { return MonoTime(time); }

} // namespace

TEST_CASE("what a socket dropped is an overflow as far as its namespace counted so many") {
    UdpTable table;
    const std::vector before{netns(1000, 5)};
    CHECK(table.update(before, {}, at(1s)).empty());
    const std::vector after{netns(1400, 45)};
    const std::vector sockets{socket_with(2, 30), socket_with(1, 10)};
    const auto rows = table.update(after, sockets, at(2s));
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].cookie == 1);
    CHECK(rows[0].overflows == 10);
    CHECK(rows[1].overflows == 30);
    CHECK(rows[1].window_overflows == 30);
    CHECK(rows[1].window_received == 400);
    CHECK(rows[1].netns_overflows == 40);
    CHECK(rows[1].command == "unbound\\x1b");
}

TEST_CASE("of more drops than were for a full buffer each socket has what the others cannot have had") {
    UdpTable table;
    const std::vector before{netns(0, 0)};
    (void)table.update(before, {}, at(1s));
    const std::vector after{netns(0, 1000)};
    const std::vector sockets{socket_with(1, 50), socket_with(2, 1000)}; // the first: by its own filter, maybe
    const auto rows = table.update(after, sockets, at(2s));
    CHECK(rows[0].overflows == 0);
    CHECK(rows[1].overflows == 950);
    CHECK(rows[0].drops == 50);
}

TEST_CASE("drops that are seen a tick after the namespace counted them are overflows, later ones are not") {
    UdpTable table;
    const std::vector before{netns(0, 0)};
    (void)table.update(before, {}, at(1s));
    const std::vector counted{netns(0, 10)};
    (void)table.update(counted, {}, at(2s));
    const std::vector seen{socket_with(1, 10)};
    CHECK(table.update(counted, seen, at(3s))[0].overflows == 10);
    const std::vector more{socket_with(1, 20)};
    CHECK(table.update(counted, more, at(4s))[0].overflows == 10);
}

TEST_CASE("what was lost and came in the last tick that lost anything stays known until another does") {
    UdpTable table;
    const std::vector before{netns(0, 0)};
    (void)table.update(before, {}, at(1s));
    const std::vector burst{netns(500, 10)};
    const std::vector sockets{socket_with(1, 10)};
    (void)table.update(burst, sockets, at(2s));
    const std::vector calm{netns(700, 10)};
    const UdpSocket row = table.update(calm, sockets, at(3s))[0];
    CHECK(row.window_overflows == 0);
    CHECK(row.window_received == 200);
    CHECK(row.last_overflows == 10);
    CHECK(row.last_received == 500);
}

TEST_CASE("what was lost before a buffer was resized is not said of the size that it has now") {
    UdpTable table;
    std::vector<UdpSocket> rows;
    const auto tick = [&](int second, std::uint64_t drops, std::uint32_t buffer) {
        const std::vector counted{netns(0, drops)};
        std::vector sockets{socket_with(1, drops)};
        sockets.front().buffer = buffer;
        sockets.front().most_dropped = 1108; // since it began to drop
        sockets.front().lost_at = at(std::chrono::seconds(second));
        rows = table.update(counted, sockets, at(std::chrono::seconds(second)));
    };
    tick(1, 0, 212992);
    tick(2, 1108, 212992);
    CHECK(rows.front().recent_overflows == 1108);
    CHECK(rows.front().most_dropped == 1108);
    tick(3, 1398, 2097152); // partly before
    CHECK(rows.front().recent_overflows == 0);
    CHECK(rows.front().most_dropped == 0);
    tick(4, 1688, 2097152);
    CHECK(rows.front().recent_overflows == 290);
    CHECK(rows.front().most_dropped == 290);
    CHECK(rows.front().overflows == 1688);
}

TEST_CASE("a socket that drops again after it was forgotten takes nothing of what others dropped meanwhile") {
    UdpTable table;
    const std::vector before{netns(0, 0)};
    (void)table.update(before, {}, at(1s));
    const std::vector burst{netns(0, 1000)};
    const std::vector first{socket_with(1, 1000)};
    CHECK(table.update(burst, first, at(2s))[0].window_overflows == 1000);
    (void)table.update(burst, {}, at(3s));
    (void)table.update(burst, {}, at(20min));
    std::vector both{socket_with(1, 1005), socket_with(2, 5)};
    both[0].drops_before = 1000;
    const std::vector again{netns(0, 1010)};
    const auto rows = table.update(again, both, at(20min + 1s));
    CHECK(rows[0].window_overflows == 5);
    CHECK(rows[1].window_overflows == 5);
    CHECK(rows[0].drops == 1005);
}

TEST_CASE("a socket of a namespace whose counters are not known has drops and no overflows") {
    UdpTable table;
    const std::vector sockets{socket_with(1, 10)};
    const auto rows = table.update({}, sockets, at(1s));
    CHECK(rows[0].drops == 10);
    CHECK(rows[0].overflows == 0);
}

TEST_CASE("three looks or more tell a burst from a reader that is too slow, and some tell neither") {
    UdpSocket socket;
    const auto seen = [&](unsigned looks, unsigned past_half) {
        socket.looks = looks;
        socket.looks_past_half = past_half;
        return std::pair(socket.has_bursts(), socket.is_read_slowly());
    };
    CHECK(seen(2, 0) == std::pair(false, false));
    CHECK(seen(2, 2) == std::pair(false, false));
    CHECK(seen(3, 0) == std::pair(true, false));
    CHECK(seen(3, 1) == std::pair(true, false));
    CHECK(seen(3, 2) == std::pair(false, true));
    CHECK(seen(8, 2) == std::pair(true, false));
    CHECK(seen(8, 4) == std::pair(false, false));
    CHECK(seen(8, 6) == std::pair(false, true));
}

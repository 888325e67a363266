// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/buffers.hpp"

using namespace bpftune;
using namespace bpftune::probes;
using namespace bpftune::signals;

namespace {

constexpr NetnsId here{.cookie = 12, .inode = 4026532247};
constexpr NetnsId elsewhere{.cookie = 13, .inode = 4026532300};

NetnsReading netns_with_sizes() {
    NetnsReading netns;
    netns.netns = here;
    netns.rmem = {.middle = 131072, .max = 200000};
    netns.wmem = {.middle = 16384, .max = 4194304};
    return netns;
}

FlowReading flow(const NetnsId& netns, HeldBy by, std::uint64_t rate) {
    FlowReading reading{.netns = netns, .local = {"10.0.0.2", 80}, .remote = {"10.0.0.1", 4000}};
    reading.pid = 712;
    reading.command = "curl\x1b";
    reading.decided = true;
    reading.held_by = by;
    reading.received_per_second = rate;
    reading.acked_per_second = rate / 2;
    reading.round_trip_us = 50000;
    reading.received_in_round_trip = rate / 20;
    reading.acked_in_round_trip = rate / 40;
    reading.window = 100000;
    reading.sndbuf = 150000;
    reading.rmem_max = 300000;
    reading.wmem_max = 400000;
    return reading;
}

using Flows = std::vector<FlowReading>;

} // namespace

TEST_CASE("where nobody looks at flows the sizes are known and all else is not") {
    const std::vector namespaces{netns_with_sizes()};
    const auto rows = buffers(namespaces, std::nullopt);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].rmem_max == 200000U);
    CHECK(rows[0].rmem_default == 131072U);
    CHECK(rows[0].wmem_max == 4194304U);
    CHECK_FALSE(rows[0].looked_at.has_value());
    CHECK_FALSE(rows[0].receiving.has_value());
    CHECK_FALSE(rows[0].window_scale.has_value());
}

TEST_CASE("a namespace without such flows has none, which is known") {
    const std::vector namespaces{netns_with_sizes()};
    const auto rows = buffers(namespaces, Flows{});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].looked_at == 0U);
    CHECK(rows[0].receiving->flows == 0);
    CHECK_FALSE(rows[0].receiving->largest.has_value());
}

TEST_CASE("what is held back is added up by cause, and the largest is told") {
    const std::vector namespaces{netns_with_sizes()};
    const auto rows = buffers(
        namespaces, Flows{flow(here, {.rmem = true}, 1000000), flow(here, {.rmem = true, .wmem = true}, 2000000),
                          flow(here, {.own_rcvbuf = true}, 9000000), flow(here, {.own_sndbuf = true}, 9000000),
                          flow(here, {.window_scale = true}, 9000000), flow(here, {}, 9000000)});
    REQUIRE(rows.size() == 1);
    const TcpBuffers& row = rows[0];
    CHECK(row.looked_at == 6U);
    CHECK(row.window_scale == 1U);
    CHECK(row.receiving->flows == 2);
    CHECK(row.receiving->bytes_per_second == 3000000);
    CHECK(row.receiving->most_in_round_trip == 100000);
    CHECK(row.receiving->set_by_application == 1);
    REQUIRE(row.receiving->largest.has_value());
    CHECK(row.receiving->largest->bytes_per_second == 2000000);
    CHECK(row.receiving->largest->limit_bytes == 100000);
    CHECK(row.receiving->largest->round_trip_us == 50000);
    CHECK(row.receiving->largest->command == "curl\\x1b");
    CHECK(row.sending->flows == 1);
    CHECK(row.sending->set_by_application == 1);
    CHECK(row.sending->largest->limit_bytes == 150000);
    CHECK(row.sending->largest->bytes_per_second == 1000000);
}

TEST_CASE("one look decides nothing") {
    FlowReading once = flow(here, {.rmem = true}, 1000000);
    once.decided = false;
    const auto rows = buffers({}, Flows{once});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].looked_at == 0U);
    CHECK(rows[0].receiving->flows == 0);
}

TEST_CASE("a namespace that no process is in has what its flows tell of it") {
    const std::vector namespaces{netns_with_sizes()};
    FlowReading left = flow(elsewhere, {.rmem = true}, 1000000);
    left.left_out = 3;
    const auto rows = buffers(namespaces, Flows{left});
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].left_out == 0U);
    CHECK(rows[1].netns == elsewhere);
    CHECK(rows[1].rmem_max == 300000U);
    CHECK_FALSE(rows[1].rmem_default.has_value());
    CHECK(rows[1].left_out == 3U);
}

TEST_CASE("connections that a smaller limit held back are compared with what they were") {
    FlowReading faster = flow(here, {}, 2000000);
    faster.received_before = 500000;
    faster.received_since = 2000000;
    FlowReading slower = flow(here, {.rmem = true}, 300000);
    slower.received_before = 400000;
    slower.received_since = 300000;
    const auto rows = buffers({}, Flows{faster, slower, flow(here, {.rmem = true}, 7000000)});
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].receiving->raised == RaisedFlows{.flows = 2, .before = 900000, .since = 2300000, .held_again = 1});
    CHECK_FALSE(rows[0].sending->raised.has_value());
}

TEST_CASE("flows are worth a look while they are held back, compared, or looked at once") {
    FlowReading once = flow(here, {}, 1);
    once.decided = false;
    FlowReading changed = flow(here, {}, 1);
    changed.limit_changed = true;
    FlowReading compared = flow(here, {}, 1);
    compared.acked_before = 1;
    for (const FlowReading& worth : {once, changed, compared, flow(here, {.wmem = true}, 1)})
        CHECK(is_worth_a_look(Flows{worth}));
    CHECK_FALSE(is_worth_a_look({}));
    CHECK_FALSE(is_worth_a_look(Flows{flow(here, {}, 1), flow(here, {.own_rcvbuf = true}, 1)}));
}

TEST_CASE("a connection that is held back at its other end, on this node, is told from one that is not") {
    FlowReading receiver = flow(here, {}, 2000000);
    receiver.received_before = 500000;
    FlowReading sender = flow(elsewhere, {.wmem = true}, 2000000);
    std::swap(sender.local, sender.remote);
    CHECK(buffers({}, Flows{receiver, sender})[0].receiving->raised->held_at_other_end == 1);
    sender.remote.port++;
    CHECK(buffers({}, Flows{receiver, sender})[0].receiving->raised->held_at_other_end == 0);
    sender.remote.port--;
    sender.held_by = {.rmem = true};
    CHECK(buffers({}, Flows{receiver, sender})[0].receiving->raised->held_at_other_end == 0);
}

TEST_CASE("of those whose application set the size, the ones with twice the most that the node gives are told apart") {
    FlowReading cut = flow(here, {.own_rcvbuf = true}, 3000000);
    cut.rcvbuf = 425984;
    FlowReading faster = cut;
    faster.received_per_second = 4000000;
    FlowReading chosen = flow(here, {.own_rcvbuf = true, .own_sndbuf = true}, 9000000);
    chosen.rcvbuf = 400000;
    chosen.sndbuf = 425984; // of another most
    const Flows flows{cut, faster, chosen};
    const TcpBuffers row = buffers({}, flows, {.rmem_max = 212992, .wmem_max = 4194304})[0];
    CHECK(row.receiving->set_by_application == 3);
    CHECK(row.receiving->at_ceiling == 2U);
    REQUIRE(row.receiving->largest_at_ceiling.has_value());
    CHECK(row.receiving->largest_at_ceiling->bytes_per_second == 4000000);
    CHECK(row.receiving->largest_at_ceiling->limit_bytes == 425984);
    CHECK(row.sending->at_ceiling == 0U);
    CHECK(buffers({}, flows, {.wmem_max = 212992})[0].sending->at_ceiling == 1U);
}

TEST_CASE("once the most that the node gives is raised, who was cut by the old one is at no ceiling") {
    FlowReading cut = flow(here, {.own_rcvbuf = true}, 3000000);
    cut.rcvbuf = 425984;
    const TcpBuffers row = buffers({}, Flows{cut}, {.rmem_max = 524288})[0];
    CHECK(row.receiving->at_ceiling == 0U);
    CHECK_FALSE(row.receiving->largest_at_ceiling.has_value());
    CHECK_FALSE(buffers({}, Flows{cut})[0].receiving->at_ceiling.has_value()); // where that is not known
}

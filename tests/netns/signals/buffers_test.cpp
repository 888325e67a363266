// SPDX-License-Identifier: Apache-2.0
// Which flows a buffer holds back, by real ones over a link with a delay.
#include <catch2/catch.hpp>

#include <optional>

#include "netns/host_sysctl.hpp"
#include "netns/probes/delay.hpp"
#include "netns/probes/program_costs.hpp"
#include "netns/signals/watcher.hpp"
#include "sys/files.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

constexpr const char* small = "4096 131072 200000";
constexpr const char* full = "4096 200000 200000"; // at its limit from the start
constexpr const char* large = "4096 131072 33554432";

// A sender and a receiver, 50 ms apart, and who looks at both.
class Far {
public:
    explicit Far(unsigned lost = 0, Use use = Use::shared) : delay_(from, to, 25ms, lost, use) {
        to.write("sys/net/ipv4/tcp_rmem", large);
        from.write("sys/net/ipv4/tcp_wmem", large);
    }

    Namespace from;
    Namespace to;

private:
    Delay delay_;
};

bool is_unseen(Watcher& watcher) {
    return is_blind(watcher.probes().rung(Probe::buffers) != Rung::none, "which flows a buffer holds back");
}

// Looks are some time of the kernel's apart, whatever the watcher's clock says.
TcpBuffers look_at(Watcher& watcher, const Namespace& netns) {
    ::poll(nullptr, 0, 260);
    for (const TcpBuffers& row : watcher.look().buffers)
        if (row.netns.inode == netns.inode()) return row;
    return {.netns = {}}; // nobody is in it, nor are its flows looked at
}

std::uint64_t most(const std::string& name) { return sys::read_number("/proc/sys/net/core/" + name).value(); }

std::uint64_t held(const std::optional<HeldBack>& way) { return way ? way->flows : 0; }

template <class Condition> TcpBuffers look_until(Watcher& watcher, const Namespace& netns, Condition is_seen) {
    std::optional<TcpBuffers> seen;
    REQUIRE(comes_true([&] {
        seen = look_at(watcher, netns);
        return is_seen(*seen);
    }));
    return *seen;
}

// One flow that is held back in this direction.
TcpBuffers look_until_held(Watcher& watcher, const Namespace& netns, std::optional<HeldBack> TcpBuffers::* way) {
    return look_until(watcher, netns, [&](const auto& seen) { return held(seen.*way) == 1; });
}

// Nothing is held back at the receiver nor at the sender in two seconds, after which `looked` says whether anything was
// looked at.
std::uint64_t looks_without_any(Watcher& watcher, const Far& far) {
    std::uint64_t looked = 0;
    for (int i = 0; i < 8; ++i) {
        for (const Namespace* netns : {&far.to, &far.from}) {
            const TcpBuffers row = look_at(watcher, *netns);
            CHECK(held(row.receiving) == 0);
            CHECK(held(row.sending) == 0);
            looked += row.looked_at.value_or(0);
        }
    }
    return looked;
}

std::uint64_t runs_of(const std::string& program) {
    std::uint64_t runs = 0;
    for (const auto& [id, cost] : program_costs())
        if (cost.name == program) runs += cost.runs;
    return runs;
}

} // namespace

TEST_CASE("a long flow is held back by the receiver's tcp_rmem, and not by a tcp_wmem with room") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.to.write("sys/net/ipv4/tcp_rmem", small);
    const Stream stream(far.from, far.to, {});
    const TcpBuffers row = look_until_held(watcher, far.to, &TcpBuffers::receiving);
    CHECK(row.rmem_max == 200000U);
    CHECK(row.looked_at == 1U);
    CHECK(row.window_scale == 0U);
    CHECK(row.receiving->set_by_application == 0);
    CHECK(held(row.sending) == 0);
    REQUIRE(row.receiving->largest.has_value());
    const HeldFlow& flow = *row.receiving->largest;
    CHECK(flow.pid == ::getpid());
    CHECK(flow.local == Endpoint{"10.78.0.2", Stream::port});
    CHECK(flow.remote.address == "10.78.0.1");
    CHECK(flow.round_trip_us >= 50000);
    CHECK(flow.limit_bytes <= 200000);
    CHECK(flow.bytes_per_second == row.receiving->bytes_per_second);
    CHECK(row.receiving->most_in_round_trip * 2 >= flow.limit_bytes);
    CHECK(held(look_at(watcher, far.from).sending) == 0);
}

TEST_CASE("a long flow is held back by the sender's tcp_wmem, and not by a tcp_rmem with room") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.from.write("sys/net/ipv4/tcp_wmem", small);
    const Stream stream(far.from, far.to, {});
    const TcpBuffers row = look_until_held(watcher, far.from, &TcpBuffers::sending);
    CHECK(row.wmem_max == 200000U);
    CHECK(held(row.receiving) == 0);
    REQUIRE(row.sending->largest.has_value());
    CHECK(row.sending->largest->remote == Endpoint{"10.78.0.2", Stream::port});
    CHECK(row.sending->largest->limit_bytes >= 200000);
    CHECK(held(look_at(watcher, far.to).receiving) == 0);
}

TEST_CASE("a size that the application set is no sysctl's") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    const Stream stream(far.from, far.to, {.rcvbuf = 60000});
    const TcpBuffers row = look_until(
        watcher, far.to, [](const auto& seen) { return seen.receiving && seen.receiving->set_by_application == 1; });
    CHECK(held(row.receiving) == 0);
    CHECK_FALSE(row.receiving->largest.has_value());
    CHECK(row.receiving->at_ceiling == 0U);
}

TEST_CASE("a send buffer that the application set is no sysctl's") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    const Stream stream(far.from, far.to, {.sndbuf = 60000});
    const TcpBuffers row = look_until(
        watcher, far.from, [](const auto& seen) { return seen.sending && seen.sending->set_by_application == 1; });
    CHECK(held(row.sending) == 0);
}

TEST_CASE("a size that the application asked for and did not get whole is told by its being twice the node's most") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const HostSysctl wmem("/proc/sys/net/core/wmem_max", 212'992); // Linux 7.2's is more than is on the way here
    const Far far;
    constexpr int asked = 1 << 30; // more than any machine gives
    SECTION("to receive") {
        const Stream stream(far.from, far.to, {.rcvbuf = asked});
        const TcpBuffers row = look_until(
            watcher, far.to, [](const auto& seen) { return seen.receiving && seen.receiving->at_ceiling == 1U; });
        REQUIRE(row.receiving->largest_at_ceiling.has_value());
        CHECK(row.receiving->largest_at_ceiling->local == Endpoint{"10.78.0.2", Stream::port});
        CHECK(row.receiving->set_by_application == 1);
        CHECK(row.receiving->largest_at_ceiling->limit_bytes == 2 * most("rmem_max"));
    }
    SECTION("to send") {
        const Stream stream(far.from, far.to, {.sndbuf = asked});
        const TcpBuffers row = look_until(
            watcher, far.from, [](const auto& seen) { return seen.sending && seen.sending->at_ceiling == 1U; });
        REQUIRE(row.sending->largest_at_ceiling.has_value());
        CHECK(row.sending->largest_at_ceiling->remote == Endpoint{"10.78.0.2", Stream::port});
        CHECK(row.sending->largest_at_ceiling->limit_bytes == 2 * most("wmem_max"));
    }
}

TEST_CASE("a window as wide as the handshake allows is told from one that tcp_rmem bounds") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.from.write("sys/net/ipv4/tcp_window_scaling", "0"); // 64 KiB, whatever rmem_max of this kernel is
    far.to.write("sys/net/ipv4/tcp_rmem", full);
    const Stream stream(far.from, far.to, {});
    const TcpBuffers row = look_until(watcher, far.to, [](const auto& seen) { return seen.window_scale == 1U; });
    CHECK(held(row.receiving) == 0);
    CHECK(row.receiving->set_by_application == 0);
}

TEST_CASE("an application that reads slowly is held back by itself") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.to.write("sys/net/ipv4/tcp_rmem", full);
    const Stream stream(far.from, far.to, {.receiver = {.bytes = 60000, .pause = 50ms}});
    ::poll(nullptr, 0, 500);
    CHECK(looks_without_any(watcher, far) > 0);
}

TEST_CASE("an application that sends less than the window lets through is held back by itself") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.to.write("sys/net/ipv4/tcp_rmem", full);
    far.from.write("sys/net/ipv4/tcp_wmem", full);
    const Stream stream(far.from, far.to, {.sender = {.bytes = 20000, .pause = 50ms}});
    ::poll(nullptr, 0, 1500); // until it has moved as much as its window twice
    CHECK(looks_without_any(watcher, far) > 0);
}

TEST_CASE("a flow that loses packets is held back by that") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far(20);
    far.to.write("sys/net/ipv4/tcp_rmem", full);
    far.from.write("sys/net/ipv4/tcp_wmem", full);
    const Stream stream(far.from, far.to, {});
    ::poll(nullptr, 0, 1500);
    CHECK(looks_without_any(watcher, far) > 0);
}

TEST_CASE("a flow on a fast network is held back by nothing, though its buffers are as large as may be") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Namespace from;
    const Namespace to;
    connect(from, to);
    to.write("sys/net/ipv4/tcp_rmem", "4096 1000000 1000000");
    from.write("sys/net/ipv4/tcp_wmem", "4096 1000000 1000000");
    const Stream stream(from, to, {.address = "10.77.0.2"});
    for (int i = 0; i < 8; ++i)
        for (const Namespace* netns : {&to, &from}) {
            const TcpBuffers row = look_at(watcher, *netns);
            CHECK(held(row.receiving) == 0);
            CHECK(held(row.sending) == 0);
        }
}

TEST_CASE("a socket that several processes hold is one flow, of the lowest") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.to.write("sys/net/ipv4/tcp_rmem", small);
    const Stream stream(far.from, far.to, {});
    const Process other([] { return std::uint64_t{0}; }); // has all descriptors of this one
    const TcpBuffers row = look_until(watcher, far.to, [](const auto& seen) { return held(seen.receiving) > 0; });
    CHECK(row.looked_at == 1U);
    CHECK(row.receiving->flows == 1);
    CHECK(row.receiving->largest->pid == std::min(::getpid(), other.pid()));
}

TEST_CASE("while flows are held back they are followed, and when they have ended nothing runs any more") {
    const sys::Fd statistics(bpf_enable_stats(BPF_STATS_RUN_TIME)); // off again when closed
    probes::Probes probes = open_probes();
    if (is_blind(probes.rung(Probe::buffers) != Rung::none, "which flows a buffer holds back")) return;
    Now now = sys::now();
    signals::Collector collector(probes, signals::this_node(), now);
    const Far far(0, Use::alone);
    far.to.write("sys/net/ipv4/tcp_rmem", small);
    {
        const Stream stream(far.from, far.to, {});
        REQUIRE(comes_true([&] {
            ::poll(nullptr, 0, 260);
            now.mono += 1s;
            (void)collector.tick(now);
            return collector.follows_flows();
        }));
        std::optional<Snapshot> between;
        REQUIRE(comes_true([&] {
            ::poll(nullptr, 0, 260);
            between = collector.follow_flows(now);
            return between.has_value();
        }));
        CHECK(between->cause == Snapshot::Cause::pressure);
        CHECK(between->listeners.empty());
        REQUIRE(between->buffers.size() == 1);
        CHECK(between->buffers[0].netns.inode == far.to.inode());
        CHECK(between->buffers[0].receiving->flows == 1);
        CHECK(std::ranges::count(between->netns_names, between->buffers[0].netns, &NetnsNames::netns) == 1);
    }
    REQUIRE(comes_true([&] {
        now.mono += 1s;
        (void)collector.tick(now);
        return !collector.follows_flows();
    }));
    const std::uint64_t runs = runs_of("look_at_flows");
    CHECK(runs > 0);
    for (int i = 0; i < 3; ++i) {
        now.mono += 1s;
        (void)collector.tick(now);
    }
    CHECK(runs_of("look_at_flows") == runs);
}

TEST_CASE("a flow whose limit is raised is followed, and its rates before and since are known") {
    Watcher watcher(1s);
    if (is_unseen(watcher)) return;
    const Far far;
    far.from.write("sys/net/ipv4/tcp_wmem", small);
    const Stream stream(far.from, far.to, {});
    const TcpBuffers before = look_until_held(watcher, far.from, &TcpBuffers::sending);
    CHECK_FALSE(before.sending->raised.has_value());
    far.from.write("sys/net/ipv4/tcp_wmem", large);
    const TcpBuffers row = look_until(watcher, far.from, [](const auto& seen) {
        return seen.sending && seen.sending->raised && seen.sending->raised->since > seen.sending->raised->before;
    });
    CHECK(row.wmem_max == 33554432U);
    CHECK(row.sending->raised->flows == 1);
    CHECK(row.sending->raised->before <= 2 * before.sending->bytes_per_second);
    CHECK_FALSE(row.receiving->raised.has_value());
    far.from.write("sys/net/ipv4/tcp_wmem", small); // of what is lowered nothing is compared
    look_until(watcher, far.from, [](const auto& seen) { return seen.sending && !seen.sending->raised; });
}

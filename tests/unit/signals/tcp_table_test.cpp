// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/attribution.hpp"
#include "signals/tcp_table.hpp"

using namespace bpftune;
using namespace std::chrono_literals;
using signals::TcpTable;

namespace {

constexpr NetnsId shop{.cookie = 7, .inode = 4026532247};

MonoTime at(Nanoseconds since_start) { return MonoTime(1h + since_start); }

probes::ListenerReading listening(std::uint64_t cookie, std::uint16_t port) {
    probes::ListenerReading reading;
    reading.netns = shop;
    reading.cookie = cookie;
    reading.inode = 1000 + cookie;
    reading.local = {"0.0.0.0", port};
    reading.pid = 712;
    reading.fd = 6;
    reading.command = "nginx";
    reading.limit = 128;
    return reading;
}

probes::NetnsReading netns(std::uint64_t overflows) {
    probes::NetnsReading reading;
    reading.netns = shop;
    reading.pid = 700;
    reading.somaxconn = 128;
    reading.listen_overflows = overflows;
    return reading;
}

// A table that is fed by hand.
struct Feed {
    TcpTable table;
    MonoTime now = at(0s);

    // As on a rung that sees no arrivals; nullopt: no census this time.
    Snapshot look(probes::NetnsReading namespaces, std::optional<probes::ListenerReading> listener) {
        now += 1s;
        TcpTable::Readings readings{.namespaces = std::span(&namespaces, 1), .queues = {}};
        if (listener) readings.listeners = std::span<const probes::ListenerReading>(&*listener, 1);
        table.update(readings, now);
        Snapshot snapshot;
        table.tick(snapshot, now);
        return snapshot;
    }

    Snapshot tick(std::vector<probes::NetnsReading> namespaces, std::vector<probes::ListenerReading> listeners,
                  std::vector<probes::QueueReading> queues = {}) {
        now += 1s;
        table.update({.namespaces = namespaces,
                      .queues = queues,
                      .listeners = std::span<const probes::ListenerReading>(listeners)},
                     now);
        Snapshot snapshot;
        table.tick(snapshot, now);
        return snapshot;
    }
};

std::uint64_t sum_of_overflows(const Snapshot& snapshot) {
    std::uint64_t sum = snapshot.tcp.at(0).overflows_of_closed;
    for (const Listener& listener : snapshot.listeners) sum += listener.overflows;
    return sum;
}

} // namespace

TEST_CASE("claims that fit are met, and the rest is nobody's") {
    CHECK(signals::divide(10, std::vector<std::uint64_t>{3, 0, 4}) == std::vector<std::uint64_t>{3, 0, 4});
}

TEST_CASE("claims that do not fit share in proportion, with nothing lost to rounding") {
    CHECK(signals::divide(10, std::vector<std::uint64_t>{20, 20, 20}) == std::vector<std::uint64_t>{4, 3, 3});
    CHECK(signals::divide(1, std::vector<std::uint64_t>{1, 5}) == std::vector<std::uint64_t>{0, 1});
    CHECK(signals::divide(0, std::vector<std::uint64_t>{1, 5}) == std::vector<std::uint64_t>{0, 0});
    CHECK(signals::divide(~0ULL, std::vector<std::uint64_t>{}).empty());
}

TEST_CASE("counters begin at zero whatever the kernel has counted before") {
    Feed feed;
    auto old = listening(1, 80);
    old.drops = 5000;
    const Snapshot snapshot = feed.tick({netns(4000)}, {old});
    CHECK(snapshot.listeners.at(0).drops == 0);
    CHECK(snapshot.listeners.at(0).overflows == 0);
    CHECK(snapshot.tcp.at(0).listen_overflows == 0);
}

TEST_CASE("an overflow belongs to the listener that dropped") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    auto full = listening(2, 81);
    full.drops = 12;             // each overflowing last ACK twice
    full.last_ack_overflows = 2; // of which two
    const Snapshot snapshot = feed.tick({netns(10)}, {listening(1, 80), full});
    CHECK(snapshot.listeners.at(0).overflows == 0);
    CHECK(snapshot.listeners.at(1).overflows == 10);
    CHECK(snapshot.listeners.at(1).overflows_per_second == Approx(10));
    CHECK(snapshot.listeners.at(1).window.overflows == 10);
    CHECK(snapshot.tcp.at(0).overflows_of_closed == 0);
}

TEST_CASE("drops of other kinds are no overflows, now or later") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    auto noisy = listening(1, 80);
    noisy.drops = 100; // SYNs without a route back, say
    CHECK(feed.tick({netns(0)}, {noisy, listening(2, 81)}).listeners.at(0).overflows == 0);
    feed.tick({netns(0)}, {noisy, listening(2, 81)});
    auto full = listening(2, 81);
    full.drops = 5;
    const Snapshot snapshot = feed.tick({netns(5)}, {noisy, full});
    CHECK(snapshot.listeners.at(0).overflows == 0);
    CHECK(snapshot.listeners.at(1).overflows == 5);
}

TEST_CASE("the overflows of a closed listener stay in the namespace's sum") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    auto full = listening(1, 80);
    full.drops = 7;
    feed.tick({netns(7)}, {full, listening(2, 81)});
    const Snapshot snapshot = feed.tick({netns(9)}, {listening(2, 81)}); // two more just before it closed
    CHECK(snapshot.tcp.at(0).overflows_of_closed == 9);
    CHECK(sum_of_overflows(snapshot) == snapshot.tcp.at(0).listen_overflows);
}

TEST_CASE("the sum over a namespace is the kernel's count at every tick, also while claims come late") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80)});
    Snapshot snapshot = feed.tick({netns(3)}, {listening(1, 80)}); // counted, the drop not seen yet
    CHECK(sum_of_overflows(snapshot) == 3);
    auto full = listening(1, 80);
    full.drops = 3;
    snapshot = feed.tick({netns(3)}, {full});
    CHECK(snapshot.listeners.at(0).overflows == 3);
    CHECK(sum_of_overflows(snapshot) == 3);
}

TEST_CASE("a connection belongs to the exact address before the wildcard") {
    Feed feed;
    auto exact = listening(2, 80);
    exact.local.address = "10.0.0.1";
    feed.tick({netns(0)}, {listening(1, 80), exact});
    const probes::QueueReading to_exact{
        .netns = shop, .local = {"10.0.0.1", 80}, .epoch_peak = 9, .epoch_arrivals = 20};
    const probes::QueueReading to_other{.netns = shop, .local = {"10.0.0.2", 80}, .epoch_peak = 4, .epoch_arrivals = 5};
    const Snapshot snapshot = feed.tick({netns(0)}, {listening(1, 80), exact}, {to_exact, to_other});
    CHECK(snapshot.listeners.at(0).arrivals == 5);
    CHECK(snapshot.listeners.at(0).queue_peak == 4);
    CHECK(snapshot.listeners.at(1).arrivals == 20);
    CHECK(snapshot.listeners.at(1).queue_peak == 9);
}

TEST_CASE("a dual-stack listener takes IPv4 connections") {
    Feed feed;
    auto dual = listening(1, 80);
    dual.local.address = "::";
    feed.tick({netns(0)}, {dual});
    const probes::QueueReading mapped{.netns = shop, .local = {"::ffff:10.0.0.1", 80}, .epoch_arrivals = 2};
    const probes::QueueReading plain{.netns = shop, .local = {"10.0.0.1", 80}, .epoch_arrivals = 3};
    CHECK(feed.tick({netns(0)}, {dual}, {mapped, plain}).listeners.at(0).arrivals == 5);
}

TEST_CASE("the window tells how empty the queue became and how many were accepted") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80)});
    auto waiting = listening(1, 80);
    waiting.queue = 10;
    const probes::QueueReading burst{
        .netns = shop, .local = {"10.0.0.1", 80}, .epoch_peak = 100, .epoch_floor = 0, .epoch_arrivals = 300};
    const Listener row = feed.tick({netns(0)}, {waiting}, {burst}).listeners.at(0);
    CHECK(row.window.length == 1s);
    CHECK(row.window.peak == 100);
    CHECK(row.window.floor == 0);
    CHECK(row.window.arrivals == 300);
    CHECK(row.window.accepted == 290);
}

TEST_CASE("a queue that is full and gets nothing through has a floor as high as its peak") {
    Feed feed;
    auto stuck = listening(1, 80);
    stuck.queue = 129;
    feed.tick({netns(0)}, {stuck});
    const Listener row = feed.tick({netns(0)}, {stuck}).listeners.at(0);
    CHECK(row.window.floor == 129);
    CHECK(row.window.accepted == 0);
}

TEST_CASE("a pressure event makes a snapshot of its namespace's listeners, with what the event knows") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    const probes::PressureEvent event{.time = at(1500ms),
                                      .netns = shop,
                                      .local = {"10.0.0.1", 80},
                                      .depth = 65,
                                      .limit = 128,
                                      .busy_since = at(1498ms),
                                      .busy_arrivals = 70};
    Snapshot snapshot;
    REQUIRE(feed.table.pressure(event, snapshot));
    REQUIRE(snapshot.listeners.size() == 2);
    const QueueWindow& window = snapshot.listeners.at(0).window;
    CHECK(window.length == 2ms);
    CHECK(window.peak == 65);
    CHECK(window.accepted == 5);
    CHECK(window.event == event.time);
    CHECK(snapshot.listeners.at(1).window.length == 0ms);
    CHECK(snapshot.listeners.at(0).somaxconn == 128);

    Snapshot elsewhere;
    probes::PressureEvent unknown = event;
    unknown.local.port = 82;
    CHECK_FALSE(feed.table.pressure(unknown, elsewhere));
}

TEST_CASE("a burst is followed until its queue has emptied") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    Snapshot first;
    feed.table.pressure({.time = at(1500ms),
                         .netns = shop,
                         .local = {"10.0.0.1", 80},
                         .depth = 65,
                         .limit = 128,
                         .busy_since = at(1498ms),
                         .busy_arrivals = 65},
                        first);
    auto after = listening(1, 80);
    after.drops = 40;
    const std::vector listeners{after, listening(2, 81)};
    const std::vector namespaces{netns(40)};
    const std::vector queues{
        probes::QueueReading{.netns = shop, .local = {"10.0.0.1", 80}, .epoch_peak = 129, .epoch_arrivals = 900}};
    feed.table.update({.namespaces = namespaces, .queues = queues, .listeners = std::span(listeners)}, at(1520ms));
    Snapshot snapshot;
    REQUIRE(feed.table.follow_bursts(snapshot, at(1520ms), 1s));
    const QueueWindow& window = snapshot.listeners.at(0).window;
    CHECK(window.peak == 129);
    CHECK(window.overflows == 40);
    CHECK(window.arrivals == 900);
    CHECK(window.length == 22ms);
    // What is raised for it is shared with the others of its namespace.
    REQUIRE(snapshot.listeners.size() == 2);
    CHECK(snapshot.listeners.at(1).local.port == 81);
    CHECK(snapshot.listeners.at(1).window.length == 0ms);
    Snapshot none;
    CHECK_FALSE(feed.table.follow_bursts(none, at(1540ms), 1s));
}

TEST_CASE("which limit binds is structural") {
    Listener listener;
    listener.limit = 128;
    listener.somaxconn = 128;
    const auto binds = [&](std::optional<std::uint32_t> asked, std::uint32_t somaxconn) {
        listener.asked = asked;
        listener.somaxconn = somaxconn;
        return signals::binds_of(listener, 4096, 1);
    };
    CHECK(binds(511, 128) == Binds::somaxconn);
    CHECK(binds(511, 4096) == Binds::somaxconn); // raised since; the running listener still has what it got
    CHECK(binds(128, 128) == Binds::somaxconn);  // asked for as much as allowed
    CHECK(binds(128, 4096) == Binds::application);
    CHECK(binds({}, 128) == Binds::somaxconn);
    CHECK(binds({}, 4096) == Binds::application);
    CHECK(signals::binds_of(listener, 64, 0) == Binds::syn_backlog);
    CHECK(signals::binds_of(listener, 64, 1) == Binds::application);
}

TEST_CASE("a hostile process name is made printable once") {
    Feed feed;
    auto hostile = listening(1, 80);
    hostile.command = "\x1b[31m\xff\"";
    CHECK(feed.tick({netns(0)}, {hostile}).listeners.at(0).command == "\\x1b[31m\\xff\"");
}

TEST_CASE("without arrivals a window goes from census to census, and what was not looked at has none") {
    Feed feed;
    auto listener = listening(1, 80);
    feed.look(netns(0), listener);
    listener.queue = 100;
    auto row = feed.look(netns(0), listener).listeners.at(0);
    CHECK_FALSE(row.arrivals.has_value());
    CHECK_FALSE(row.window.arrivals.has_value());
    CHECK(row.window.length == 1s);
    CHECK(row.window.floor == 0); // as it was at the census before
    CHECK(row.window.peak == 100);

    CHECK(feed.look(netns(7), std::nullopt).listeners.at(0).window.length == 0s);
    listener.queue = 90;
    listener.drops = 7;
    row = feed.look(netns(7), listener).listeners.at(0);
    CHECK(row.window.length == 2s);
    CHECK(row.window.floor == 90); // over half of its limit at both: it does not drain
    CHECK(row.window.overflows == 7);
}

TEST_CASE("a listener that is new since the last census began with an empty queue") {
    Feed feed;
    feed.look(netns(0), listening(1, 80));
    auto listener = listening(2, 81);
    listener.queue = 129;
    const auto row = feed.look(netns(0), listener).listeners.at(0);
    CHECK(row.window.floor == 0);
    CHECK(row.window.peak == 129);
}

TEST_CASE("limits that could not be read are unknown, and zero connects without a port are not the same as none seen") {
    Feed feed;
    auto reading = netns(0);
    reading.somaxconn.reset();
    const Snapshot snapshot = feed.tick({reading}, {listening(1, 80)});
    CHECK_FALSE(snapshot.listeners.at(0).somaxconn.has_value());
    CHECK_FALSE(snapshot.tcp.at(0).somaxconn.has_value());
    CHECK_FALSE(snapshot.tcp.at(0).ports_exhausted.has_value());
    CHECK_FALSE(snapshot.tcp.at(0).time_wait_limit.has_value());
}

TEST_CASE("overflows that are known are not guessed from drops") {
    Feed feed;
    auto one = listening(1, 80);
    auto other = listening(2, 81);
    one.overflows = 5; // counted before the table began
    other.overflows = 0;
    feed.tick({netns(5)}, {one, other});
    one.drops = 1000; // of other kinds
    one.overflows = 8;
    other.overflows = 7;
    const Snapshot snapshot = feed.tick({netns(15)}, {one, other});
    CHECK(snapshot.listeners[0].overflows == 3);
    CHECK(snapshot.listeners[1].overflows == 7);
    CHECK(sum_of_overflows(snapshot) == 10);
}

TEST_CASE("a queue that says whose it is belongs to that listener, whoever shares the port") {
    Feed feed;
    auto one = listening(1, 80);
    auto other = listening(2, 80);
    one.queue_cookie = 1;
    other.queue_cookie = 77; // an MPTCP listener's is another socket
    const probes::QueueReading queue{
        .netns = shop, .local = {"0.0.0.0", 80}, .cookie = 77, .epoch_peak = 9, .epoch_arrivals = 40};
    feed.tick({netns(0)}, {one, other});
    const Snapshot snapshot = feed.tick({netns(0)}, {one, other}, {queue});
    CHECK(snapshot.listeners[0].arrivals == 0);
    CHECK(snapshot.listeners[1].arrivals == 40);

    const probes::PressureEvent event{
        .time = at(3s), .netns = shop, .local = {"0.0.0.0", 80}, .cookie = 77, .depth = 70, .limit = 128};
    Snapshot at_once;
    CHECK(feed.table.pressure(event, at_once));
    CHECK(at_once.listeners[0].window.peak == 0);
    CHECK(at_once.listeners[1].window.peak == 70);
}

TEST_CASE("the SYN queue is that of the interval, and unknown without a SYN") {
    Feed feed;
    auto listener = listening(1, 80);
    listener.queue_cookie = 1;
    const probes::QueueReading syns_alone{.netns = shop, .local = {"0.0.0.0", 80}, .cookie = 1, .epoch_syn_peak = 300};
    CHECK(feed.tick({netns(0)}, {listener}, {syns_alone}).listeners[0].syn_queue == 300);
    CHECK_FALSE(feed.tick({netns(0)}, {listener}).listeners[0].syn_queue.has_value());
}

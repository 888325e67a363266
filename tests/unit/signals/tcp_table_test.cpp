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
        TcpTable::Readings readings{
            .namespaces = std::span(&namespaces, 1), .queues = {}, .listeners = {}, .lists_whole_namespaces = true};
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

// The last reading of a listener whose queue has counted so many.
probes::ListenerReading after_1000_overflows(Feed& feed) {
    auto reading = listening(1, 80);
    reading.overflows = 0;
    feed.tick({netns(0)}, {reading});
    reading.overflows = reading.drops = 1000;
    CHECK(feed.tick({netns(1000)}, {reading}).listeners.at(0).overflows == 1000);
    return reading;
}

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
    CHECK(signals::least(535, std::vector<std::uint64_t>{20, 535}) == std::vector<std::uint64_t>{0, 515});
    CHECK(signals::least(535, std::vector<std::uint64_t>{749, 535}) == std::vector<std::uint64_t>{0, 0});
    CHECK(signals::least(600, std::vector<std::uint64_t>{535}) == std::vector<std::uint64_t>{535});
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
    full.queue = 129;
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
    full.queue = 129;
    full.drops = 5;
    const Snapshot snapshot = feed.tick({netns(5)}, {noisy, full});
    CHECK(snapshot.listeners.at(0).overflows == 0);
    CHECK(snapshot.listeners.at(1).overflows == 5);
}

TEST_CASE("the overflows of a closed listener stay in the namespace's sum") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    auto full = listening(1, 80);
    full.queue = 129;
    full.drops = 7;
    feed.tick({netns(7)}, {full, listening(2, 81)});
    const Snapshot snapshot = feed.tick({netns(9)}, {listening(2, 81)}); // two more just before it closed
    CHECK(snapshot.tcp.at(0).overflows_of_closed == 9);
    CHECK(sum_of_overflows(snapshot) == snapshot.tcp.at(0).listen_overflows);
}

TEST_CASE("a claim that comes late is met, and takes nothing back from those that closed") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80)});
    Snapshot snapshot = feed.tick({netns(3)}, {listening(1, 80)}); // counted, the drop not seen yet
    CHECK(snapshot.tcp.at(0).listen_overflows == 3);
    CHECK(snapshot.tcp.at(0).overflows_of_closed == 0);
    auto full = listening(1, 80);
    full.queue = 129;
    full.drops = 3;
    snapshot = feed.tick({netns(3)}, {full});
    CHECK(snapshot.listeners.at(0).overflows == 3);
    CHECK(sum_of_overflows(snapshot) == 3);
}

TEST_CASE("what a census left claimed is met by the next reading of the namespace, and by no later one") {
    Feed feed;
    feed.look(netns(0), listening(1, 80));
    auto dropped = listening(1, 80);
    dropped.drops = 5;
    feed.look(netns(0), dropped); // counted before the listeners were
    SECTION("without a census") {
        CHECK(feed.look(netns(5), std::nullopt).listeners.at(0).overflows == 5);
        CHECK(feed.look(netns(8), std::nullopt).listeners.at(0).overflows == 5);
    }
    SECTION("too late") {
        feed.look(netns(0), std::nullopt);
        CHECK(feed.look(netns(5), std::nullopt).listeners.at(0).overflows == 0);
    }
    SECTION("with a claim of the next census") {
        dropped.drops = 9;
        CHECK(feed.look(netns(2), std::nullopt).listeners.at(0).overflows == 2);
        CHECK(feed.look(netns(6), dropped).listeners.at(0).overflows == 6);
    }
}

TEST_CASE("what nobody has claimed by the census after the next was a listener's that closed between two") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80)});
    CHECK(feed.tick({netns(3)}, {listening(1, 80)}).tcp.at(0).overflows_of_closed == 0);
    CHECK(feed.tick({netns(3)}, {listening(1, 80)}).tcp.at(0).overflows_of_closed == 3);
    CHECK(feed.tick({netns(3)}, {listening(1, 80)}).tcp.at(0).overflows_of_closed == 3);
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
    CHECK(binds({}, 4096) == Binds::unknown);
    CHECK(signals::binds_of(listener, 64, 0) == Binds::syn_backlog);
    CHECK(signals::binds_of(listener, 64, 1) == Binds::unknown);
    CHECK(signals::binds_of(listener, 168, 0) == Binds::syn_backlog); // three quarters of it are 126
    CHECK(signals::binds_of(listener, 171, 0) == Binds::unknown);
    listener.syn_queue = listener.limit; // by peers that are known
    CHECK(signals::binds_of(listener, 64, 0) == Binds::unknown);
}

TEST_CASE("what a listener lost that began in a namespace not seen before is counted, and nothing from before it") {
    Feed feed;
    feed.tick({netns(5)}, {});
    probes::ListenerReading begun = listening(1, 80);
    begun.netns = {.cookie = 8, .inode = 4026532248};
    probes::ListenerReading older = listening(2, 81);
    older.netns = begun.netns;
    older.drops = 1000;
    probes::NetnsReading pod = netns(1283);
    pod.netns = begun.netns;
    feed.table.began({.time = feed.now + 1ms, .listener = begun});
    begun.drops = 283;
    begun.queue = 129;
    Snapshot snapshot = feed.tick({netns(5), pod}, {begun, older});
    CHECK(snapshot.listeners.at(0).overflows == 283);
    CHECK(snapshot.listeners.at(1).overflows == 0);
    begun.drops += 10;
    pod.listen_overflows += 10;
    older.drops += 4; // of another cause
    snapshot = feed.tick({netns(5), pod}, {begun, older});
    CHECK(snapshot.listeners.at(0).overflows + snapshot.listeners.at(1).overflows == 293);
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

TEST_CASE("somaxconn that this process wrote is shown until it is read again") {
    Feed feed;
    probes::NetnsReading reading = netns(0); // of a namespace that is not looked into each time
    reading.read = at(1s);
    CHECK(feed.tick({reading}, {listening(1, 80)}).tcp.at(0).somaxconn == 128);
    feed.table.wrote(shop, &NetnsTcp::somaxconn, 1024, feed.now + 10ms);
    SECTION("when it was looked into before that") {
        const Snapshot snapshot = feed.tick({reading}, {listening(1, 80)});
        CHECK(snapshot.tcp.at(0).somaxconn == 1024);
        CHECK(snapshot.listeners.at(0).somaxconn == 1024);
    }
    SECTION("when nothing could be read") {
        Snapshot snapshot;
        feed.table.tick(snapshot, feed.now + 1s);
        CHECK(snapshot.tcp.at(0).somaxconn == 1024);
    }
    SECTION("then it may be someone else's") {
        reading.read = feed.now + 1s;
        reading.somaxconn = 300;
        CHECK(feed.tick({reading}, {listening(1, 80)}).tcp.at(0).somaxconn == 300);
    }
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

TEST_CASE("what a listener loses stays its own where its queue was pushed out and is made anew") {
    Feed feed;
    auto reading = after_1000_overflows(feed);
    reading.overflows.reset(); // nobody knows
    CHECK(feed.tick({netns(1000)}, {reading}).listeners.at(0).overflows == 1000);
    reading.overflows = 0; // a new one
    feed.tick({netns(1000)}, {reading});
    reading.overflows = 40;
    reading.drops = 1040;
    const Snapshot snapshot = feed.tick({netns(1040)}, {reading});
    CHECK(snapshot.listeners.at(0).overflows == 1040);
    CHECK(snapshot.tcp.at(0).overflows_of_closed == 0);
}

TEST_CASE("a queue that was made anew between two looks counts from nothing") {
    Feed feed;
    auto reading = after_1000_overflows(feed);
    reading.overflows = 30;
    reading.drops = 1030;
    CHECK(feed.tick({netns(1030)}, {reading}).listeners.at(0).overflows == 1030);
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

TEST_CASE("a namespace that is seen later counts from then") {
    Feed feed;
    feed.tick({}, {});
    auto reading = netns(4000);
    reading.listen_drops = 4300;
    reading.cookies_sent = 70;
    reading.time_waited = 900;
    reading.ports_exhausted = 2; // counted by the probe since it began
    NetnsTcp row = feed.tick({reading}, {}).tcp.at(0);
    CHECK(row.listen_overflows == 0);
    CHECK(row.other_drops == 0);
    CHECK(row.cookies_sent == 0);
    CHECK(row.time_wait_entries == 0);
    CHECK(row.ports_exhausted == 2);
    reading.listen_overflows = 4005;
    reading.listen_drops = 4305;
    reading.time_waited = 910;
    reading.ports_exhausted = 3;
    row = feed.tick({reading}, {}).tcp.at(0);
    CHECK(row.listen_overflows == 5);
    CHECK(row.time_wait_entries == 10);
    CHECK(row.ports_exhausted == 3);
}

TEST_CASE(
    "what found no port of the namespace's range is counted by tick, without sockets that have a range of their own") {
    Feed feed;
    auto reading = netns(0);
    reading.local_ports = LocalPorts{32768, 60999};
    reading.ports_exhausted = 5; // before the first tick
    reading.segments = {.connects = 20};
    feed.tick({reading}, {});
    reading.ports_exhausted = 9;
    reading.own_ports_exhausted = 1;
    reading.time_waited = 40;
    reading.segments = {.connects = 25};
    NetnsTcp row = feed.tick({reading}, {}).tcp.at(0);
    CHECK(row.local_ports == LocalPorts{32768, 60999});
    CHECK(row.window_ports_exhausted == 3);
    CHECK(row.window_connects == 5U);
    CHECK(row.window_time_wait_entries == 40);
    row = feed.tick({reading}, {}).tcp.at(0);
    CHECK(row.window_ports_exhausted == 0);
    CHECK(row.window_connects == 0U);
    CHECK(row.window_time_wait_entries == 0);
}

TEST_CASE("a namespace that is seen again goes on where it was, without what was counted meanwhile") {
    Feed feed;
    feed.tick({netns(100)}, {});
    CHECK(feed.tick({netns(107)}, {}).tcp.at(0).listen_overflows == 7);
    CHECK(feed.tick({}, {}).tcp.empty());
    CHECK(feed.tick({netns(150)}, {}).tcp.at(0).listen_overflows == 7);
    CHECK(feed.tick({netns(153)}, {}).tcp.at(0).listen_overflows == 10);
}

TEST_CASE("a listener that a later census finds counts from then, one that was seen to begin from its birth") {
    Feed feed;
    feed.tick({netns(0)}, {});
    auto unseen = listening(1, 80); // on its way between processes when it was counted
    unseen.drops = 500;
    unseen.queue = 129;
    auto begun = listening(2, 81);
    feed.table.began({.time = feed.now + 1ms, .listener = begun});
    begun.drops = 7;
    begun.queue = 129;
    const Snapshot snapshot = feed.tick({netns(7)}, {unseen, begun});
    CHECK(snapshot.listeners.at(0).drops == 0);
    CHECK(snapshot.listeners.at(0).overflows == 0);
    CHECK(snapshot.listeners.at(0).window.floor == 129);
    CHECK(snapshot.listeners.at(1).drops == 7);
    CHECK(snapshot.listeners.at(1).overflows == 7);
    CHECK(snapshot.listeners.at(1).window.floor == 0);
}

TEST_CASE("a socket that began to listen is shown when a census has found it, or somebody came") {
    Feed feed;
    feed.tick({netns(0)}, {});
    feed.table.began({.time = feed.now + 1ms, .listener = listening(1, 80)});
    feed.table.began({.time = feed.now + 1ms, .listener = listening(2, 81)});
    std::vector namespaces{netns(0)};
    const std::vector queues{probes::QueueReading{
        .netns = shop, .local = {"10.0.0.1", 81}, .limit = 128, .epoch_peak = 3, .epoch_arrivals = 3}};
    Snapshot snapshot;
    feed.table.update({.namespaces = namespaces, .queues = queues, .listeners = {}}, feed.now + 1s);
    feed.table.tick(snapshot, feed.now + 1s);
    REQUIRE(snapshot.listeners.size() == 1);
    CHECK(snapshot.listeners[0].local.port == 81);
    CHECK(snapshot.listeners[0].arrivals == 3);
    feed.now += 1s;
    CHECK(feed.tick(namespaces, {listening(2, 81)}).listeners.size() == 1); // the other has ended
}

TEST_CASE("a namespace that listens without end takes nobody's place, and what is not taken in is counted") {
    Feed feed;
    feed.tick({netns(0)}, {});
    std::uint64_t cookie = 0;
    const auto begin = [&](const NetnsId& in, int times) {
        for (int i = 0; i < times; ++i) {
            ++cookie;
            auto listener = listening(cookie, static_cast<std::uint16_t>(cookie));
            listener.netns = in;
            listener.queue_cookie = cookie;
            feed.table.began({.time = feed.now, .listener = listener});
        }
    };
    begin({.cookie = 8, .inode = 4026532300}, 20'000);
    CHECK(feed.table.not_taken_in() == 20'000 - 2048);
    begin(shop, 1);
    CHECK(feed.table.not_taken_in() == 20'000 - 2048);
    const probes::QueueReading came{
        .netns = shop, .local = {"0.0.0.0", 80}, .cookie = cookie, .limit = 128, .epoch_arrivals = 1};
    const std::vector namespaces{netns(0)};
    const std::vector queues{came};
    feed.table.update({.namespaces = namespaces, .queues = queues, .listeners = std::nullopt}, feed.now);
    Snapshot snapshot;
    feed.table.tick(snapshot, feed.now);
    REQUIRE(snapshot.listeners.size() == 1);
    CHECK(snapshot.listeners[0].cookie == cookie);
    feed.tick({netns(0)}, {}); // a census makes room
    begin({.cookie = 8, .inode = 4026532300}, 2048);
    CHECK(feed.table.not_taken_in() == 20'000 - 2048);
}

TEST_CASE("an event that says another limit than was read for its port waits for a look at all listeners") {
    Feed feed;
    auto app = listening(1, 80);
    app.limit = 64;
    auto steered_to = listening(2, 15006); // by TPROXY, or a program at sk_lookup
    bool is_known_to_be = false;
    SECTION("whose connections say that they are transparent") { is_known_to_be = true; }
    SECTION("of which nothing is known") {}
    steered_to.transparent = is_known_to_be;
    feed.tick({netns(0)}, {app, steered_to});
    const probes::PressureEvent event{.time = feed.now + 500ms,
                                      .netns = shop,
                                      .local = {"10.91.2.2", 80},
                                      .transparent = is_known_to_be,
                                      .depth = 65,
                                      .limit = 128,
                                      .busy_since = feed.now + 400ms,
                                      .busy_arrivals = 65};
    CHECK(feed.table.knows_whose(event) == is_known_to_be);
    steered_to.queue = 70;
    if (!is_known_to_be) feed.table.looked(std::vector{app, steered_to}, event.time + 1ms);
    Snapshot snapshot;
    REQUIRE(feed.table.pressure(event, snapshot));
    CHECK(snapshot.listeners[0].limit == 64);
    CHECK(snapshot.listeners[0].queue == 0);
    CHECK(snapshot.listeners[0].window.peak == 0);
    CHECK(snapshot.listeners[1].window.peak >= 65);
    CHECK(snapshot.listeners[1].limit == 128);
}

TEST_CASE("where no listener is known at an event's address, the one that is found under pressure is the one") {
    Feed feed;
    auto one = listening(1, 81);
    auto other = listening(2, 82);
    feed.tick({netns(0)}, {one, other});
    const probes::PressureEvent event{
        .time = feed.now + 500ms, .netns = shop, .local = {"10.0.0.1", 80}, .depth = 70, .limit = 128};
    CHECK_FALSE(feed.table.knows_whose(event));
    Snapshot snapshot;
    CHECK_FALSE(feed.table.pressure(event, snapshot)); // nobody has looked
    feed.table.looked(std::vector{one, other}, event.time + 1ms);
    CHECK_FALSE(feed.table.pressure(event, snapshot)); // nobody is
    other.queue = 71;
    feed.table.looked(std::vector{one, other}, event.time + 2ms);
    REQUIRE(feed.table.pressure(event, snapshot));
    CHECK(snapshot.listeners[1].window.peak == 71);
    CHECK(snapshot.listeners[0].window.peak == 0);
}

TEST_CASE("of listeners that share a port only the one whose own queue is full is under pressure") {
    Feed feed;
    std::vector<probes::ListenerReading> group;
    for (std::uint64_t cookie = 1; cookie <= 4; ++cookie) group.push_back(listening(cookie, 80));
    feed.tick({netns(0)}, group);
    group[0].queue = 129; // its worker is dead
    group[0].drops = 40;
    const probes::QueueReading of_all{
        .netns = shop, .local = {"10.0.0.1", 80}, .limit = 128, .epoch_peak = 129, .epoch_arrivals = 400};
    Snapshot snapshot = feed.tick({netns(40)}, group, {of_all});
    CHECK(snapshot.listeners[0].overflows == 40);
    for (const std::size_t healthy : {1U, 2U, 3U}) {
        const Listener& row = snapshot.listeners[healthy];
        CHECK(row.arrivals == 100); // an equal share
        CHECK(row.queue_peak == 0);
        CHECK(row.window.peak == 0);
        CHECK_FALSE(row.window.arrivals.has_value());
        CHECK(row.overflows == 0);
    }
    CHECK_FALSE(snapshot.listeners[0].window.arrivals.has_value());
    snapshot = feed.tick({netns(40)}, group, {of_all});
    CHECK(snapshot.listeners[0].window.floor == 129); // it stays full, whatever the others' connections found
    CHECK(snapshot.listeners[0].window.accepted == 0);

    const probes::PressureEvent event{
        .time = feed.now + 1ms, .netns = shop, .local = {"10.0.0.1", 80}, .depth = 129, .limit = 128};
    CHECK_FALSE(feed.table.knows_whose(event));
    feed.table.looked(group, event.time + 1ms);
    Snapshot at_once;
    REQUIRE(feed.table.pressure(event, at_once));
    CHECK(at_once.listeners[0].window.peak == 129);
    CHECK(at_once.listeners[0].window.length > 1s); // full since long, not since a healthy one was last empty
    CHECK(at_once.listeners[0].window.accepted == 0);
    CHECK(at_once.listeners[1].window.length == 0ms);
}

TEST_CASE("a queue that stayed low overflowed not at all, whatever was dropped there") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80), listening(2, 81)});
    auto low = listening(1, 80);
    auto full = listening(2, 81);
    low.drops = 1582;
    full.drops = 5804;
    full.queue = 129;
    const probes::QueueReading of_low{
        .netns = shop, .local = {"10.0.0.1", 80}, .limit = 128, .epoch_peak = 20, .epoch_arrivals = 1582};
    const Snapshot snapshot = feed.tick({netns(5804)}, {low, full}, {of_low});
    CHECK(snapshot.listeners[0].overflows == 0);
    CHECK(snapshot.listeners[1].overflows == 5804);
    CHECK_FALSE(snapshot.listeners[1].overflows_estimated);
}

TEST_CASE("last ACKs that wait for data are no overflows, also where the queue was full") {
    Feed feed;
    auto deferring = listening(1, 80);
    deferring.defers = true;
    feed.look(netns(0), deferring);
    auto reading = netns(30);
    reading.deferred = 500;
    deferring.drops = 530;
    CHECK(feed.look(reading, deferring).listeners[0].overflows == 30);
    reading.deferred = 505; // those of the listener's drops that came after its namespace was read
    deferring.drops = 540;
    CHECK(feed.look(reading, deferring).listeners[0].overflows == 30);
    reading.deferred = 510;
    reading.listen_overflows = 32;
    deferring.drops = 542;
    CHECK(feed.look(reading, deferring).listeners[0].overflows == 32);
}

TEST_CASE("SYNs that a full SYN queue refused are told from what else is dropped") {
    Feed feed;
    auto reading = netns(0);
    reading.max_syn_backlog = 4096;
    reading.syncookies = 0;
    auto listener = listening(1, 80);
    listener.limit = 16;
    feed.tick({reading}, {listener, listening(2, 81)});
    SECTION("by the kernel's count where it held as many as the backlog") {
        reading.listen_drops = reading.syn_queue_full_drops = listener.drops = 90;
        listener.syn_queue = 16;
        const Snapshot snapshot = feed.tick({reading}, {listener, listening(2, 81)});
        CHECK(snapshot.tcp[0].syn_dropped == 90);
        CHECK(snapshot.tcp[0].other_drops == 0);
        CHECK(snapshot.listeners[0].window.syn_dropped == 90);
        CHECK(snapshot.listeners[0].window.overflows == 0);
        CHECK(snapshot.listeners[0].syn_queue == 16);
        CHECK(snapshot.listeners[1].window.syn_dropped == 0);
    }
    SECTION("by what it held where three quarters of tcp_max_syn_backlog are the limit") {
        reading.max_syn_backlog = 16;
        listener.limit = 128;
        reading.listen_drops = listener.drops = 90;
        listener.syn_queue = 12;
        const Snapshot snapshot = feed.tick({reading}, {listener, listening(2, 81)});
        CHECK(snapshot.tcp[0].syn_dropped == 90);
        CHECK(snapshot.listeners[0].window.syn_dropped == 90);
    }
    SECTION("and are none where no SYN queue is full") {
        reading.listen_drops = listener.drops = 90; // no route back
        listener.syn_queue = 3;
        const Snapshot snapshot = feed.tick({reading}, {listener, listening(2, 81)});
        CHECK(snapshot.tcp[0].syn_dropped == 0);
        CHECK(snapshot.tcp[0].other_drops == 90);
        CHECK(snapshot.listeners[0].window.syn_dropped == 0);
    }
    SECTION("by what it held at the end before, too") {
        reading.max_syn_backlog = 16;
        listener.limit = 128;
        listener.syn_queue = 12;
        feed.tick({reading}, {listener, listening(2, 81)});
        reading.listen_drops = listener.drops = 90;
        listener.syn_queue = 0;
        CHECK(feed.tick({reading}, {listener, listening(2, 81)}).tcp[0].syn_dropped == 90);
        reading.listen_drops += 5;
        CHECK(feed.tick({reading}, {listener, listening(2, 81)}).tcp[0].other_drops == 5);
    }
}

TEST_CASE("SYNs of a queue that was full between two looks are charged to those who must have refused them") {
    Feed feed;
    auto reading = netns(0);
    reading.max_syn_backlog = 4096;
    reading.syncookies = 0;
    auto burst = listening(1, 80), other = listening(2, 81);
    burst.limit = 16;
    burst.syn_queue = other.syn_queue = 0;
    feed.tick({reading}, {burst, other});
    reading.listen_drops = reading.syn_queue_full_drops = 90;
    burst.drops = 90;
    const auto look = [&] { return feed.tick({reading}, {burst, other}); };
    SECTION("alone, all of them; its queue held as many as its limit") {
        const Snapshot snapshot = look();
        CHECK(snapshot.tcp[0].syn_dropped == 90);
        CHECK(snapshot.listeners[0].window.syn_dropped == 90);
        CHECK(snapshot.listeners[0].syn_queue == 16);
        CHECK(look().listeners[0].window.syn_dropped == 0);
    }
    SECTION("less what another one may have refused") {
        other.drops = 5;
        const Snapshot snapshot = look();
        CHECK(snapshot.listeners[0].window.syn_dropped == 85);
        CHECK(snapshot.listeners[1].window.syn_dropped == 0);
        CHECK(snapshot.listeners[1].syn_queue == 0);
    }
    SECTION("each its own where that is all of them") {
        burst.drops = 50;
        other.drops = 40;
        const Snapshot snapshot = look();
        CHECK(snapshot.listeners[0].window.syn_dropped == 50);
        CHECK(snapshot.listeners[1].window.syn_dropped == 40);
    }
    SECTION("nobody where either may have refused all") {
        other.drops = 90;
        const Snapshot snapshot = look();
        CHECK(snapshot.tcp[0].syn_dropped == 90);
        CHECK(snapshot.listeners[0].window.syn_dropped + snapshot.listeners[1].window.syn_dropped == 0);
    }
    SECTION("what one that is full did not refuse") {
        other.drops = 30;
        other.syn_queue = 128;
        const Snapshot snapshot = look();
        CHECK(snapshot.listeners[0].window.syn_dropped == 60);
        CHECK(snapshot.listeners[1].window.syn_dropped == 30);
    }
    SECTION("full at the limit that it had, not at the one that it was given meanwhile") {
        burst.limit = 256;
        CHECK(look().listeners[0].syn_queue == 16);
    }
}

TEST_CASE("how full a SYN queue became is remembered until the drops are explained") {
    Feed feed;
    auto reading = netns(0);
    reading.max_syn_backlog = 16;
    reading.syncookies = 0;
    auto listener = listening(1, 80);
    listener.syn_queue = 0;
    listener.queue_cookie = 1;
    feed.tick({reading}, {listener});
    const std::vector namespaces{reading};
    const std::vector syns{
        probes::QueueReading{.netns = shop, .local = {"0.0.0.0", 80}, .cookie = 1, .epoch_syn_peak = 12}};
    feed.table.update({.namespaces = namespaces, .queues = syns, .listeners = std::nullopt}, feed.now += 1s);
    reading.listen_drops = listener.drops = 90;
    const Snapshot snapshot = feed.tick({reading}, {listener});
    CHECK(snapshot.tcp[0].syn_dropped == 90);
    CHECK(snapshot.tcp[0].other_drops == 0);
    CHECK(snapshot.listeners[0].window.syn_dropped == 90);
}

TEST_CASE("a listener whose namespace was not asked for it stays, one that has ended goes") {
    Feed feed;
    feed.tick({netns(0)}, {listening(1, 80)});
    const std::vector namespaces{netns(0)};
    const std::vector<probes::ListenerReading> none;
    CHECK(feed.table.missing_in(none, {}) == std::vector{shop});
    const std::vector unasked{shop};
    const TcpTable::Readings readings{
        .namespaces = namespaces, .queues = {}, .listeners = std::span(none), .unasked = unasked};
    feed.table.update(readings, feed.now += 1s);
    Snapshot snapshot;
    feed.table.tick(snapshot, feed.now);
    CHECK(snapshot.listeners.size() == 1);
    CHECK(feed.tick(namespaces, {}).listeners.empty());
}

TEST_CASE("a listener that the census lacks and that is known to be there stays as it was, the others go") {
    Feed feed;
    auto reading = listening(1, 80);
    reading.queue = 5;
    feed.tick({netns(0)}, {reading, listening(2, 81)});
    const std::vector namespaces{netns(0)};
    const std::vector<probes::ListenerReading> none;
    const std::set<std::uint64_t> unheld{1};
    CHECK(feed.table.missing_in(none, unheld) == std::vector{shop}); // for the other
    CHECK(feed.table.missing_in(none, {1, 2}).empty());
    const TcpTable::Readings readings{
        .namespaces = namespaces, .queues = {}, .listeners = std::span(none), .unasked = {}, .unheld = &unheld};
    feed.table.update(readings, feed.now += 1s);
    Snapshot snapshot;
    feed.table.tick(snapshot, feed.now);
    REQUIRE(snapshot.listeners.size() == 1);
    CHECK(snapshot.listeners[0].cookie == 1);
    CHECK(snapshot.listeners[0].queue == 5);
}

namespace {

// A listener under `somaxconn` that was seen to ask for `asked`, and has `limit`.
struct Asked {
    Feed feed;
    probes::NetnsReading pod = netns(0);
    probes::ListenerReading reading = listening(1, 80);

    Asked(std::uint32_t asked, std::uint32_t limit, std::uint32_t somaxconn = 4096) {
        pod.somaxconn = somaxconn;
        reading.asked = asked;
        reading.limit = limit;
        feed.tick({pod}, {reading});
    }
    Listener read(std::uint32_t limit) {
        reading.limit = limit;
        return feed.tick({pod}, {reading}).listeners.at(0);
    }
};

} // namespace

TEST_CASE("a limit that changed without a write of ours is what another listen() asked for") {
    Asked systemd(2147483647, 4096);
    Listener worker = systemd.read(64);
    CHECK(worker.asked == 64U);
    CHECK(worker.binds == Binds::application);
    worker = systemd.read(64); // the probe goes on telling of the first one
    CHECK(worker.asked == 64U);
    worker = systemd.read(256);
    CHECK(worker.asked == 256U);
}

TEST_CASE("another listen() for as much as somaxconn, or more, is for as much as is allowed") {
    Asked listener(64, 64);
    const Listener again = listener.read(4096);
    CHECK_FALSE(again.asked);
    CHECK(again.binds == Binds::somaxconn);
}

TEST_CASE("a limit that we wrote is nobody's wish, and what is read after it may be") {
    Asked listener(128, 128);
    listener.feed.table.wrote(1, 1024, listener.feed.now);
    CHECK(listener.read(1024).asked == 128U);
    CHECK(listener.read(200).asked == 200U);
    listener.feed.table.wrote(1, 1024, listener.feed.now);
    listener.feed.table.wrote(1, 200, listener.feed.now); // and taken back
    CHECK(listener.read(200).asked == 200U);
}

TEST_CASE(
    "what we raised to somaxconn is held to it only where its application asked for all of the somaxconn of then") {
    const bool for_all = GENERATE(true, false);
    Asked listener(128, 128, for_all ? 128 : 4096);
    listener.pod.somaxconn = 4096;
    listener.feed.table.wrote(1, 4096, listener.feed.now);
    CHECK(listener.read(4096).binds == (for_all ? Binds::somaxconn : Binds::application));
}

TEST_CASE("who asked for all before its namespace was seen is held to somaxconn") {
    Feed feed;
    feed.tick({}, {});
    probes::ListenerReading begun = listening(1, 80);
    begun.asked = 128;
    feed.table.began({.time = feed.now + 1ms, .listener = begun});
    Snapshot snapshot;
    feed.table.pressure({.time = feed.now + 2ms, .netns = shop, .local = {"0.0.0.0", 80}, .depth = 65, .limit = 128},
                        snapshot);
    CHECK(feed.tick({netns(0)}, {begun}).listeners.at(0).binds == Binds::somaxconn);
}

TEST_CASE("a somaxconn that was lowered to what the application had asked for is not what holds it") {
    Asked listener(64, 64);
    listener.pod.somaxconn = 64;
    CHECK(listener.read(64).binds == Binds::application);
}

TEST_CASE("an event that knows its socket tells of another listen() before the census does") {
    Asked listener(65535, 4096);
    const probes::PressureEvent event{.time = listener.feed.now + 1ms,
                                      .netns = shop,
                                      .local = {"0.0.0.0", 80},
                                      .cookie = 1,
                                      .depth = 40,
                                      .limit = 64};
    Snapshot snapshot;
    REQUIRE(listener.feed.table.pressure(event, snapshot));
    CHECK(snapshot.listeners.at(0).limit == 64);
    CHECK(snapshot.listeners.at(0).asked == 64U);
}

TEST_CASE("which limit binds is not known where the argument was not seen and somaxconn is another now") {
    Listener listener;
    listener.limit = 128;
    listener.somaxconn = 4096;
    CHECK(signals::binds_of(listener, 4096, 1) == Binds::unknown);
    CHECK(signals::binds_of(listener, 64, 0) == Binds::syn_backlog);
    listener.somaxconn = 128;
    CHECK(signals::binds_of(listener, 4096, 1) == Binds::somaxconn);
    listener.somaxconn = 64; // lowered since
    CHECK(signals::binds_of(listener, 4096, 1) == Binds::unknown);
    listener.somaxconn = 4096;
    listener.asked = 128;
    CHECK(signals::binds_of(listener, 4096, 1) == Binds::application);
    listener.asked = 129;
    CHECK(signals::binds_of(listener, 4096, 1) == Binds::somaxconn);
}

TEST_CASE("segments that are sent again are a part of all, since the source began, and no counter falls") {
    Feed feed;
    const auto sent = [](std::uint64_t first, std::uint64_t again) {
        probes::NetnsReading reading = netns(0);
        reading.segments = {.sent = first, .retransmitted = again};
        return reading;
    };
    CHECK_FALSE(feed.look(netns(0), {}).tcp.at(0).segments_sent.has_value());
    NetnsTcp row = feed.look(sent(5000, 70), {}).tcp.at(0);
    CHECK(row.segments_sent == 0U); // what was before is no news
    CHECK_FALSE(row.retransmitted_percent.has_value());
    row = feed.look(sent(5090, 80), {}).tcp.at(0);
    CHECK(row.segments_sent == 90U);
    CHECK(row.segments_retransmitted == 10U);
    CHECK(row.retransmitted_percent == Approx(10));
    row = feed.look(sent(5090, 80), {}).tcp.at(0);
    CHECK_FALSE(row.retransmitted_percent.has_value()); // nothing was sent
    row = feed.look(sent(10, 1), {}).tcp.at(0);
    CHECK(row.segments_sent == 90U);
    CHECK(row.segments_retransmitted == 10U);
    row = feed.look(sent(10, 3), {}).tcp.at(0);
    CHECK(row.segments_retransmitted == 12U);
    CHECK(row.retransmitted_percent == Approx(100));
    row = feed.look(netns(0), {}).tcp.at(0); // not read this time
    CHECK(row.segments_retransmitted == 12U);
    CHECK_FALSE(row.retransmitted_percent.has_value());
}

TEST_CASE("what came to queues that were left out is unknown, and what came to others' is not") {
    TcpTable table;
    constexpr NetnsId other{.cookie = 8, .inode = 4026532248};
    const probes::ListenerReading ours = listening(1, 80);
    probes::ListenerReading theirs = listening(2, 80);
    theirs.netns = other;
    probes::NetnsReading of_other = netns(0);
    of_other.netns = other;
    const std::vector namespaces{netns(0), of_other};
    const std::vector listeners{ours, theirs};
    const std::vector<probes::QueueReading> queues;
    MonoTime now = at(0s);
    const auto tick = [&](std::vector<NetnsId> left_out) {
        now += 1s;
        table.update({.namespaces = namespaces,
                      .queues = queues,
                      .left_out = left_out,
                      .listeners = std::span<const probes::ListenerReading>(listeners)},
                     now);
        Snapshot snapshot;
        table.tick(snapshot, now);
        return snapshot;
    };
    tick({});
    const Snapshot snapshot = tick({other});
    REQUIRE(snapshot.listeners.size() == 2);
    for (const Listener& listener : snapshot.listeners) {
        if (listener.netns == other)
            CHECK_FALSE(listener.window.arrivals.has_value());
        else
            CHECK(listener.window.arrivals == 0);
    }
    for (const Listener& listener : tick({}).listeners) CHECK(listener.window.arrivals == 0);
}

// SPDX-License-Identifier: Apache-2.0
#include "signals/flood.hpp"

#include <catch2/catch.hpp>

#include <netinet/in.h>

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

Sign of_cookies(std::uint64_t sent, std::uint64_t returned, Nanoseconds interval = 1s) {
    return syn_flood({.cookies_sent = sent, .cookies_returned = returned}, interval);
}

// A second of a queue of 128 that stayed full.
Listener full_listener(std::uint64_t overflows, std::uint64_t accepted) {
    Listener listener;
    listener.limit = 128;
    listener.window = {
        .length = 1s, .peak = 129, .floor = 128, .arrivals = accepted, .accepted = accepted, .overflows = overflows};
    return listener;
}

} // namespace

TEST_CASE("cookies that do not come back speak for a SYN flood, with their numbers") {
    CHECK(of_cookies(8000, 12) == "8000 SYN cookies/s, 12/s came back");
    CHECK(of_cookies(16000, 24, 2s) == "8000 SYN cookies/s, 12/s came back");
}

TEST_CASE("a flood among as many real clients is one") { CHECK(of_cookies(11000, 6000).has_value()); }

TEST_CASE("cookies that come back are a burst, whatever their number") {
    CHECK_FALSE(of_cookies(8000, 8000));
    CHECK_FALSE(of_cookies(8000, 7900));
    CHECK_FALSE(of_cookies(8000, 8100)); // those of the second before
}

TEST_CASE("a few lost cookies are no flood") {
    CHECK_FALSE(of_cookies(99, 0));
    CHECK(of_cookies(100, 0).has_value());
}

TEST_CASE("without syncookies SYNs that are refused speak for a flood where those under way cannot be clients") {
    const auto of_refused = [](std::uint64_t refused, std::optional<std::uint64_t> arrivals) {
        return syn_flood({.refused = refused, .half_open = 129, .arrivals = arrivals}, 1s);
    };
    CHECK(of_refused(5000, 3) == "5000 SYNs/s refused, 3 handshakes/s");
    CHECK_FALSE(of_refused(5000, 2000));
    CHECK_FALSE(of_refused(5000, 860)); // clients 150 ms away
    CHECK_FALSE(of_refused(5000, 43));  // and three seconds
    CHECK(of_refused(5000, 42).has_value());
    CHECK_FALSE(of_refused(99, 0));
    CHECK_FALSE(of_refused(5000, std::nullopt)); // not known to be few
}

TEST_CASE("connections of which not one in a hundred is accepted are a flood") {
    CHECK(connect_flood(full_listener(2000, 1)) == "2001 connections/s, 1/s accepted");
    CHECK_FALSE(connect_flood(full_listener(500, 20))); // too slow
    CHECK_FALSE(connect_flood(full_listener(98, 1), "a flood"));
}

TEST_CASE("a server that accepts none at all hangs, however many come, unless it was flooded before") {
    CHECK_FALSE(connect_flood(full_listener(200, 0)));
    CHECK_FALSE(connect_flood(full_listener(20000, 0)));
    CHECK(connect_flood(full_listener(2000, 0), "a flood") == "2000 connections/s, 0/s accepted");
}

TEST_CASE("a long queue that fills behind a server that hangs is no flood, though a count may be off by one") {
    Listener listener = full_listener(0, 1);
    listener.window.arrivals = 200;
    CHECK_FALSE(connect_flood(listener));
}

TEST_CASE("a queue that empties, is looked at for a moment, or whose arrivals are not seen shows no flood") {
    Listener listener = full_listener(2000, 1);
    listener.window.floor = 0;
    CHECK_FALSE(connect_flood(listener));
    listener = full_listener(2000, 1);
    listener.window.length = 100ms;
    CHECK_FALSE(connect_flood(listener));
    listener = full_listener(2000, 1);
    listener.window.arrivals.reset();
    CHECK_FALSE(connect_flood(listener));
}

namespace {

// A table, of which every look sees all.
struct SmallTable {
    std::vector<probes::ConntrackEntry> entries;
    std::uint32_t next = 1;

    void add(std::size_t count, bool unanswered, std::uint8_t transport = IPPROTO_UDP, std::uint16_t port = 8472) {
        for (std::size_t i = 0; i < count; ++i)
            entries.push_back({.id = next++, .transport = transport, .unanswered = unanswered, .port = port});
    }
    void remove(std::size_t count) {
        entries.erase(entries.begin(), entries.begin() + static_cast<std::ptrdiff_t>(count));
    }
    void look(UnansweredWatch& watch, Nanoseconds at) const {
        watch.look({.entries = entries, .whole = true}, entries.size(), MonoTime(at));
    }
};

} // namespace

TEST_CASE("unanswered entries that come are a flood from the second look on, with what they are") {
    SmallTable table;
    UnansweredWatch watch;
    table.add(60, false);
    table.add(90, true, IPPROTO_TCP, 80);
    table.look(watch, 1s);
    CHECK(watch.ratio() == 0.6);
    CHECK(watch.seen_once());
    CHECK_FALSE(watch.flood());
    table.add(150, true, IPPROTO_TCP, 80);
    table.look(watch, 2s);
    CHECK_FALSE(watch.seen_once());
    CHECK(watch.flood() ==
          "240 of 300 entries looked at are unanswered, most of them TCP to port 80 (SYNs of nobody, or "
          "answers that pass elsewhere: DSR)");
}

TEST_CASE("answered entries that grow beside an old unanswered mass are no flood, and the mass is named") {
    SmallTable table;
    UnansweredWatch watch;
    table.add(600, true);
    table.look(watch, 1s);
    table.add(200, false);
    table.look(watch, 2s);
    CHECK_FALSE(watch.flood());
    CHECK_FALSE(watch.seen_once());
    CHECK(watch.are() == "UDP to port 8472 (VXLAN)");
    SECTION("also while the mass is renewed, as many as end") {
        table.remove(300);
        table.add(300, true);
        table.add(100, false);
        table.look(watch, 3s);
        CHECK_FALSE(watch.flood());
    }
    SECTION("nor while a full table refuses what is of the same kind") {
        table.add(50, false);
        watch.lost(500);
        table.look(watch, 3s);
        CHECK_FALSE(watch.flood());
    }
}

TEST_CASE("unanswered entries in a full table that evicts others for them are a flood though they do not grow") {
    SmallTable table;
    UnansweredWatch watch;
    table.add(1000, true, IPPROTO_UDP, 53);
    table.look(watch, 1s);
    watch.lost(5000);
    SECTION("evicted") {
        table.remove(500);
        table.add(500, true, IPPROTO_UDP, 53);
    }
    SECTION("refused") {}
    table.look(watch, 2s);
    CHECK(watch.flood());
}

TEST_CASE("a mass that stands still is no flood, which is known after five seconds") {
    SmallTable table;
    UnansweredWatch watch;
    table.add(500, true);
    for (int second = 1; second <= 5; ++second) table.look(watch, std::chrono::seconds(second));
    CHECK(watch.seen_once());
    table.look(watch, 6s);
    CHECK_FALSE(watch.seen_once());
    CHECK_FALSE(watch.flood());
}

TEST_CASE("a sample is compared where both looked, however much the table has grown between") {
    SmallTable table;
    UnansweredWatch watch;
    table.add(2000, true);
    const auto look = [&](Nanoseconds at) {
        probes::ConntrackSample sample{.entries = {table.entries.begin(), table.entries.begin() + 1000}};
        watch.look(std::move(sample), table.entries.size(), MonoTime(at));
    };
    look(1s);
    SmallTable grown; // an answered one came before each third
    grown.next = 10000;
    for (std::size_t i = 0; i < table.entries.size(); ++i) {
        if (i % 3 == 0) grown.add(1, false);
        grown.entries.push_back(table.entries[i]);
    }
    table.entries = grown.entries;
    look(2s);
    CHECK_FALSE(watch.flood());
    CHECK(*watch.ratio() < 0.76);
}

TEST_CASE("few entries are no flood, and a scan is named as one") {
    SmallTable table;
    UnansweredWatch watch;
    table.add(40, true);
    table.look(watch, 1s);
    table.add(59, true);
    table.look(watch, 2s);
    CHECK_FALSE(watch.flood());
    for (std::uint16_t port = 1; port <= 400; ++port) table.add(1, true, IPPROTO_TCP, port);
    table.look(watch, 3s);
    CHECK(watch.flood() == "499 of 499 entries looked at are unanswered, most of them TCP to 400 ports (a scan)");
}

TEST_CASE("a SYN flood is told by two intervals in a row, and is over with the first that shows none") {
    SynWatch watch;
    SynCounts counts{.cookies_sent = 70000, .cookies_returned = 10}; // before anybody looked
    watch.update(counts, MonoTime(1s));
    counts.cookies_sent += 5000;
    watch.update(counts, MonoTime(2s));
    CHECK_FALSE(watch.flood());
    counts.cookies_sent += 5000;
    counts.cookies_returned += 40;
    watch.update(counts, MonoTime(3s));
    CHECK(watch.flood() == "5000 SYN cookies/s, 40/s came back");
    counts.cookies_sent += 10;
    watch.update(counts, MonoTime(3100ms)); // too soon to say
    CHECK(watch.flood().has_value());
    watch.update(counts, MonoTime(4s));
    CHECK_FALSE(watch.flood());
}

TEST_CASE("a burst whose cookies are on their way at a tick is no flood") {
    SynWatch watch;
    SynCounts counts;
    watch.update(counts, MonoTime(1s));
    counts.cookies_sent += 1400;
    watch.update(counts, MonoTime(2s));
    counts.cookies_returned += 1400;
    watch.update(counts, MonoTime(3s));
    CHECK_FALSE(watch.flood());
    watch.update(counts, MonoTime(4s));
    CHECK_FALSE(watch.flood());
}

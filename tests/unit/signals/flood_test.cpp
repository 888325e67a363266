// SPDX-License-Identifier: Apache-2.0
#include "signals/flood.hpp"

#include <catch2/catch.hpp>

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

TEST_CASE("a table of which half is unanswered is flooded") {
    CHECK(conntrack_flood({.entries = 1000, .unanswered = 940}) == "940 of 1000 entries looked at are unanswered");
    CHECK(conntrack_flood({.entries = 1000, .unanswered = 500}).has_value());
    CHECK_FALSE(conntrack_flood({.entries = 1000, .unanswered = 499}));
    CHECK_FALSE(conntrack_flood({.entries = 99, .unanswered = 99}));
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

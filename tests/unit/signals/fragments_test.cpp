// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/fragments.hpp"

using namespace bpftune;
using namespace bpftune::signals;
using namespace std::chrono_literals;

namespace {

using Reading = probes::NetnsReading::Fragments;

constexpr NetnsId pod{.cookie = 7, .inode = 4026532247};

// Looks once a second.
class Feed {
public:
    std::vector<Fragments> tick(const std::optional<Reading>& ipv4, const std::optional<Reading>& ipv6 = {}) {
        now_ += 1s;
        const std::vector<probes::NetnsReading> readings{{.netns = pod, .pid = 3, .fragments = {ipv4, ipv6}}};
        return table_.update(readings, now_);
    }

private:
    MonoTime now_;
    FragmentTable table_;
};

} // namespace

TEST_CASE("where no fragment has ever come there is no row, nor where it is not known") {
    Feed feed;
    CHECK(feed.tick(Reading{.limit = 4194304}).empty());
    CHECK(feed.tick(std::nullopt).empty());
    CHECK(feed.tick(Reading{.limit = 4194304}, Reading{.memory = 1, .limit = 4194304}).at(0).family == Family::ipv6);
}

TEST_CASE("what fragments lost is what failed without timing out, from when they are first seen") {
    Feed feed;
    auto row = feed.tick(Reading{.memory = 9, .limit = 100, .timed_out = 5, .reassembled = 2, .failed = 12}).at(0);
    CHECK(row.netns == pod);
    CHECK(row.pid == 3);
    CHECK(row.failed == 0);
    CHECK(row.reassembled == 0);
    row = feed.tick(Reading{.memory = 4, .limit = 100, .timed_out = 6, .reassembled = 5, .failed = 20}).at(0);
    CHECK(row.window_failed == 7);
    CHECK(row.window_reassembled == 3);
    CHECK(row.window_timed_out == 1);
    CHECK(row.fullest_bytes == 9);
    CHECK(row.lowest_bytes == 4);
    row = feed.tick(Reading{.memory = 4, .limit = 100, .timed_out = 6, .reassembled = 5, .failed = 20}).at(0);
    CHECK(row.failed == 7);
    CHECK(row.window_failed == 0);
}

TEST_CASE("a datagram that has timed out by half at a look is no loss, then or later") {
    Feed feed;
    feed.tick(Reading{.limit = 100, .timed_out = 5, .failed = 5});
    CHECK(feed.tick(Reading{.limit = 100, .timed_out = 6, .failed = 5}).at(0).window_failed == 0);
    CHECK(feed.tick(Reading{.limit = 100, .timed_out = 6, .failed = 6}).at(0).window_failed == 0);
    CHECK(feed.tick(Reading{.limit = 100, .timed_out = 6, .failed = 8}).at(0).window_failed == 2);
}

TEST_CASE("the first datagrams that are put together count among those of the last minute") {
    Feed feed;
    feed.tick(Reading{.limit = 100});
    const auto row =
        feed.tick(Reading{.memory = 90, .limit = 100, .timed_out = 1, .reassembled = 3, .failed = 9}).at(0);
    CHECK(row.recent_reassembled == 3);
    CHECK(row.recent_timed_out == 1);
    CHECK(row.is_completed());
}

TEST_CASE("whether datagrams are completed is told of the last minute alone") {
    Feed feed;
    Reading reading{.memory = 1, .limit = 100};
    feed.tick(reading);
    reading.timed_out = 10;
    CHECK_FALSE(feed.tick(reading).at(0).is_completed());
    for (int second = 0; second < 61; ++second) CHECK(feed.tick(reading).at(0).recent_timed_out == 10);
    reading.reassembled = 1;
    const auto row = feed.tick(reading).at(0);
    CHECK(row.recent_timed_out == 0);
    CHECK(row.is_completed());
}

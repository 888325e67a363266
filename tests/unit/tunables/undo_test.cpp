// SPDX-License-Identifier: Apache-2.0
#include "tunables/undo.hpp"

#include <catch2/catch.hpp>

namespace bpftune::tunables {

TEST_CASE("a value goes back to its original where what is in use has room there, with headroom") {
    CHECK(way_back(TunableId::conntrack_max, 8192, 1000, 700) == 1000);
    CHECK(way_back(TunableId::conntrack_max, 8192, 1000, 701) == 1024);
    CHECK(way_back(TunableId::listener_backlog, 4096, 128, 64) == 128);
    CHECK(way_back(TunableId::listener_backlog, 4096, 128, 65) == 256);
}

TEST_CASE("else it goes to the next power of two that has room, or stays") {
    CHECK(way_back(TunableId::conntrack_max, 262144, 1000, 3000) == 8192); // 4,286
    CHECK(way_back(TunableId::conntrack_max, 8192, 1000, 3000) == 8192);
    CHECK(way_back(TunableId::conntrack_max, 4096, 1000, 3000) == 4096);
    CHECK(way_back(TunableId::conntrack_max, 4096, 1000, UINT64_MAX) == 4096);
    CHECK(way_back(TunableId::listener_backlog, 4096, 128, 800) == 2048);
}

TEST_CASE("no limit at all has room for everything") {
    CHECK(way_back(TunableId::conntrack_max, 8192, 0, 100000) == 0);
    CHECK(is_less(TunableId::conntrack_max, 8192, 0));
    CHECK_FALSE(is_less(TunableId::conntrack_max, 0, 8192));
    CHECK(is_less(TunableId::listener_backlog, 0, 8));
}

TEST_CASE("nothing is in use of somaxconn itself") {
    CHECK(way_back(TunableId::somaxconn, 4096, 128, 100000) == 128);
    CHECK(step_back(TunableId::somaxconn, 4096, 128, 0) == 128);
}

TEST_CASE("buckets follow a limit with the chains that they had, of 8 at most, in whole pages") {
    CHECK(following(TunableId::conntrack_buckets, 262144, 65536, 16384) == 65536);
    CHECK(following(TunableId::conntrack_buckets, 65536, 65536, 16384) == 16384);
    CHECK(following(TunableId::conntrack_buckets, 262144, 262144, 1024) == 32768);
    CHECK(following(TunableId::conntrack_buckets, 1000, 0, 1024) == 1000);
    CHECK(step_back(TunableId::conntrack_buckets, 131072, 1024, 3000) == 8192);
    CHECK(step_back(TunableId::conntrack_buckets, 4096, 1024, 3000) == 4096);
}

TEST_CASE("what has a proportion to what it follows keeps it exactly") {
    CHECK(following(TunableId::netdev_budget, 16000, 8000, 300) == 600);
    CHECK(following(TunableId::netdev_budget, 400, 200, 300) == 600); // packets may be more than microseconds
    CHECK(following(TunableId::netdev_budget, 200, 400, 600) == 300);
    CHECK(following(TunableId::netdev_budget, 200, 100, 2147483647) == 2147483647);
    CHECK(following(TunableId::tcp_mem_pressure, 12000, 6000, 4000) == 8000);
    CHECK(following(TunableId::tcp_mem_pressure, 6000, 12000, 8001) == 4001);
}

} // namespace bpftune::tunables

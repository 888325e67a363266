// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include "signals/listings.hpp"

using namespace bpftune;
using namespace std::chrono_literals;
using signals::Listings;

namespace {

probes::NetnsReading netns(std::uint32_t inode, std::uint64_t lost = 0) {
    probes::NetnsReading reading;
    reading.netns = {.cookie = inode, .inode = inode};
    reading.listen_drops = lost;
    return reading;
}

MonoTime at(Nanoseconds since_start) { return MonoTime(1h + since_start); }

std::vector<std::uint32_t> inodes(const std::vector<const probes::NetnsReading*>& due) {
    std::vector<std::uint32_t> found;
    for (const probes::NetnsReading* each : due) found.push_back(each->netns.inode);
    return found;
}

} // namespace

TEST_CASE("a namespace is listed once a minute, those whose listeners are missing first, then the longest ago") {
    Listings listings;
    const std::vector namespaces{netns(1), netns(2), netns(3)};
    listings.begin(namespaces, at(0s));
    CHECK(inodes(listings.due(namespaces, {}, at(0s))) == std::vector<std::uint32_t>{1, 2, 3});
    listings.listed(namespaces[0], {}, at(2s));
    listings.listed(namespaces[1], {}, at(1s));
    listings.listed(namespaces[2], {}, at(3s));
    CHECK(listings.due(namespaces, {}, at(60s)).empty());
    CHECK(inodes(listings.due(namespaces, {}, at(62s))) == std::vector<std::uint32_t>{2, 1});
    const std::vector missing{namespaces[2].netns};
    CHECK(inodes(listings.due(namespaces, missing, at(62s))) == std::vector<std::uint32_t>{3, 2, 1});
}

TEST_CASE("listeners that nobody holds are there for five seconds, unless their namespace loses something") {
    Listings listings;
    listings.listed(netns(1), {7, 8}, at(0s));
    const std::set<std::uint64_t> both{7, 8};
    listings.begin(std::vector{netns(1)}, at(4s));
    CHECK(listings.unheld() == both);
    SECTION("time") {
        listings.begin(std::vector{netns(1)}, at(5s));
        CHECK(listings.unheld().empty());
    }
    SECTION("loss") {
        listings.begin(std::vector{netns(1, 1)}, at(4s));
        CHECK(listings.unheld().empty());
    }
    SECTION("a namespace that is gone is forgotten") {
        listings.begin(std::vector{netns(2)}, at(4s));
        CHECK(listings.unheld().empty());
        CHECK(inodes(listings.due(std::vector{netns(1)}, {}, at(4s))) == std::vector<std::uint32_t>{1});
    }
}

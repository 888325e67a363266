// SPDX-License-Identifier: Apache-2.0
#include "views/pod_choice.hpp"

#include <string>
#include <string_view>
#include <vector>

#include <catch2/catch.hpp>

namespace bpftune::views {
namespace {

// The names of those that have series of their own, in the order of their rank.
std::string chosen(std::vector<PodCandidate> candidates, std::size_t room) {
    choose_pods(candidates, room);
    std::string names;
    std::size_t used = 0;
    for (const PodCandidate& each : candidates) {
        if (!each.has_own) continue;
        names += each.name;
        used += each.series;
    }
    CHECK(used <= room);
    return names;
}

PodCandidate pod(std::string_view name, double lost, bool has_own = false) {
    return {.name = name, .lost = lost, .series = 10, .has_own = has_own};
}

} // namespace

TEST_CASE("those that lost most are chosen, then the fullest, then by name") {
    PodCandidate full = pod("f", 0);
    full.fullest = 0.5;
    CHECK(chosen({pod("b", 0), pod("a", 0), full, pod("l", 1)}, 40) == "lfab");
    CHECK(chosen({pod("b", 0), pod("a", 0), full, pod("l", 1)}, 39) == "lfa");
    CHECK(chosen({pod("b", 0), pod("a", 0)}, 9).empty());
    CHECK(chosen({}, 100).empty());
}

TEST_CASE("who has series keeps them against who is a little ahead, not against who is among the first half") {
    CHECK(chosen({pod("a", 9), pod("b", 8), pod("c", 7), pod("d", 6), pod("e", 5, true)}, 40) == "abce");
    CHECK(chosen({pod("a", 9), pod("b", 8), pod("c", 7, true), pod("d", 6, true)}, 20) == "ac");
}

TEST_CASE("who loses nothing any more keeps none who does from having series") {
    CHECK(chosen({pod("a", 9), pod("b", 8), pod("c", 7), pod("d", 0.9, true)}, 30) == "abc");
    CHECK(chosen({pod("a", 9), pod("b", 0), pod("c", 0), pod("d", 0.9, true)}, 20) == "ad");
}

TEST_CASE("who has fallen behind twice as many as there is room for has no claim") {
    CHECK(chosen({pod("a", 9), pod("b", 8), pod("c", 7), pod("d", 6), pod("e", 5, true)}, 20) == "ab");
}

TEST_CASE("who is gone comes after all that are there, and stays while nobody needs the room") {
    PodCandidate gone = pod("g", 100, true);
    gone.gone = true;
    CHECK(chosen({gone, pod("a", 0), pod("b", 0)}, 20) == "ab");
    CHECK(chosen({gone, pod("a", 0)}, 20) == "ag");
}

TEST_CASE("one that is too large for the room keeps no other from it") {
    PodCandidate large = pod("l", 9);
    large.series = 100;
    CHECK(chosen({large, pod("a", 1), pod("b", 0)}, 25) == "ab");
}

} // namespace bpftune::views

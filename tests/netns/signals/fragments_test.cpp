// SPDX-License-Identifier: Apache-2.0
// What fragments of a namespace lose, beside the kernel's own counters.
#include <catch2/catch.hpp>

#include <optional>

#include "netns/probes/fragments.hpp"
#include "netns/signals/watcher.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace std::chrono_literals;

namespace {

std::optional<Fragments> row_of(Watcher& watcher, const Namespace& netns, Family family) {
    for (const Fragments& row : watcher.look().fragments)
        if (row.netns.inode == netns.inode() && row.family == family) return row;
    return std::nullopt;
}

// Of each address family.
void counts_to_the_last_one(Family family, const std::string& sysctls) {
    const Namespace netns;
    const Namespace other;
    const Process inside(netns, [] { return std::uint64_t{0}; });
    const Process beside(other, [] { return std::uint64_t{0}; });
    FragmentSender sender(netns, family == Family::ipv4 ? AF_INET : AF_INET6);
    FragmentSender of_other(other, family == Family::ipv4 ? AF_INET : AF_INET6);
    netns.write(sysctls + "frag_low_thresh", "1000");
    netns.write(sysctls + "frag_high_thresh", "200000");
    Watcher watcher(1s);
    if (watcher.probes().rung(Probe::time_wait) == Rung::procfs) return; // not seen there
    CHECK_FALSE(row_of(watcher, netns, family));
    sender.begin(20);
    of_other.begin(20);
    const auto full = row_of(watcher, netns, family);
    REQUIRE(full);
    CHECK(full->limit_bytes == 200000);
    CHECK(full->was_near_limit());
    CHECK(full->failed > 0);
    CHECK(full->failed == sender.counter("ReasmFails") - sender.counter("ReasmTimeout"));
    netns.write(sysctls + "frag_high_thresh", "4194304"); // a table that is too full takes no last fragments either
    sender.complete();
    of_other.complete();
    netns.write(sysctls + "frag_time", "1");
    sender.begin(1); // and never complete it
    REQUIRE(comes_true([&] { return sender.counter("ReasmTimeout") > 0; }));
    const auto later = row_of(watcher, netns, family);
    REQUIRE(later);
    CHECK(later->reassembled > 0);
    CHECK(later->timed_out > 0);
    CHECK(later->memory_bytes == sender.memory());
    CHECK(later->reassembled == sender.counter("ReasmOKs"));
    CHECK(later->timed_out == sender.counter("ReasmTimeout"));
    CHECK(later->failed == sender.counter("ReasmFails") - sender.counter("ReasmTimeout"));
    const auto unhurt = row_of(watcher, other, family);
    REQUIRE(unhurt);
    CHECK(unhurt->reassembled == 20);
    CHECK(unhurt->failed == 0);
}

} // namespace

TEST_CASE("what IPv4 fragments of a namespace lose is counted to the last one, and others' are others'", "[netns]") {
    counts_to_the_last_one(Family::ipv4, "sys/net/ipv4/ip");
}

TEST_CASE("what IPv6 fragments of a namespace lose is counted to the last one, and others' are others'", "[netns]") {
    counts_to_the_last_one(Family::ipv6, "sys/net/ipv6/ip6");
}

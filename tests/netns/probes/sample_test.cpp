// SPDX-License-Identifier: Apache-2.0
#include <set>

#include <catch2/catch.hpp>

#include "probes/ctnetlink.hpp"
#include "sys/netlink.hpp"
#include "traffic.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;

namespace {

constexpr std::uint16_t port = 8080;

// A namespace whose connections are tracked.
struct Tracked {
    Namespace netns;

    Tracked() { track_connections(netns); }
    [[nodiscard]] ConntrackSample sample(std::size_t enough) const {
        const sys::Fd socket = netns.inside([] { return sys::open_netlink(sys::Netlink::netfilter).value(); });
        return ctnetlink_sample(socket, enough).value();
    }
    // An entry for each, to an address of its own where nobody answers.
    void send_datagrams(std::uint32_t count) const {
        netns.inside([&] {
            const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            for (std::uint32_t i = 0; i < count; ++i) {
                sockaddr_in to = address_of("127.1.0.0", 9);
                to.sin_addr.s_addr = htonl(ntohl(to.sin_addr.s_addr) + i);
                ::sendto(socket.value(), "x", 1, 0, reinterpret_cast<const sockaddr*>(&to), sizeof to);
            }
        });
    }
};

std::size_t unanswered_in(const ConntrackSample& sample) {
    return static_cast<std::size_t>(std::ranges::count_if(sample.entries, &ConntrackEntry::unanswered));
}

} // namespace

TEST_CASE("an entry is known by its number, and says where it is from and to") {
    if (!std::filesystem::exists("/proc/sys/net/netfilter/nf_conntrack_max")) return;
    const Tracked tracked;
    tracked.send_datagrams(40);
    const ConntrackSample first = tracked.sample(1000), second = tracked.sample(1000);
    CHECK(first.whole);
    REQUIRE(first.entries.size() == 40);
    std::set<std::uint32_t> ids;
    for (const ConntrackEntry& entry : first.entries) {
        ids.insert(entry.id);
        CHECK(entry.family == AF_INET);
        CHECK(entry.transport == IPPROTO_UDP);
        CHECK(entry.port == 9);
        CHECK(entry.peer.port == 9);
        CHECK(entry.translated.port == entry.from);
        CHECK_FALSE(entry.source_nat);
    }
    CHECK(ids.size() == 40);
    for (const ConntrackEntry& entry : second.entries) CHECK(ids.contains(entry.id));
}

TEST_CASE("an entry is unanswered while no reply came, and of TCP until its handshake is completed") {
    if (!std::filesystem::exists("/proc/sys/net/netfilter/nf_conntrack_max")) return; // a kernel without it
    const Tracked tracked;
    CHECK(tracked.sample(1000).entries.empty());
    const auto listener = tracked.netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    const auto established = tracked.netns.inside([] { return clients(20, "127.0.0.1", port); });
    CHECK(tracked.sample(1000).entries.size() == 20);
    CHECK(unanswered_in(tracked.sample(1000)) == 0);

    tracked.send_datagrams(30);
    CHECK(tracked.sample(1000).entries.size() == 50);
    CHECK(unanswered_in(tracked.sample(1000)) == 30);

    const LostLastAcks lost(tracked.netns, "(syn|ack) == (syn|ack)"); // replies all the same, and they prove nothing
    const auto half = tracked.netns.inside([] { return clients(7, "127.0.0.1", port); });
    CHECK(tracked.sample(1000).entries.size() == 57);
    CHECK(unanswered_in(tracked.sample(1000)) == 37);
}

TEST_CASE("a sample is a part of a large table, in the proportion of the whole") {
    if (!std::filesystem::exists("/proc/sys/net/netfilter/nf_conntrack_max")) return;
    const Tracked tracked;
    const auto listener = tracked.netns.inside([] { return listen_on("127.0.0.1", port, 1024); });
    const auto established = tracked.netns.inside([] { return clients(400, "127.0.0.1", port); });
    tracked.send_datagrams(400);
    const ConntrackSample some = tracked.sample(200);
    CHECK(some.entries.size() == 200);
    CHECK_FALSE(some.whole);
    CHECK(unanswered_in(some) > 50); // of a half: seven standard deviations away
    CHECK(unanswered_in(some) < 150);
    CHECK(tracked.sample(10000).entries.size() == 800);
    CHECK(unanswered_in(tracked.sample(10000)) == 400);
}

// How long a sample takes does not depend on how much it is of.
TEST_CASE("cost of a sample", "[.cost]") {
    const Tracked tracked;
    for (const std::uint32_t entries : {2000U, 20000U, 100000U}) {
        tracked.send_datagrams(entries);
        const sys::Fd socket = tracked.netns.inside([] { return sys::open_netlink(sys::Netlink::netfilter).value(); });
        const auto begin = std::chrono::steady_clock::now();
        const ConntrackSample some = ctnetlink_sample(socket, 1000).value();
        const auto taken = std::chrono::steady_clock::now() - begin;
        WARN(entries << " sent: " << some.entries.size() << " looked at in "
                     << std::chrono::duration_cast<std::chrono::microseconds>(taken).count() << " us");
    }
}

// SPDX-License-Identifier: Apache-2.0
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

} // namespace

TEST_CASE("an entry is unanswered while no reply came, and of TCP until its handshake is completed") {
    if (!std::filesystem::exists("/proc/sys/net/netfilter/nf_conntrack_max")) return; // a kernel without it
    const Tracked tracked;
    CHECK(tracked.sample(1000).entries == 0);
    const auto listener = tracked.netns.inside([] { return listen_on("127.0.0.1", port, 64); });
    const auto established = tracked.netns.inside([] { return clients(20, "127.0.0.1", port); });
    CHECK(tracked.sample(1000).entries == 20);
    CHECK(tracked.sample(1000).unanswered == 0);

    tracked.send_datagrams(30);
    CHECK(tracked.sample(1000).entries == 50);
    CHECK(tracked.sample(1000).unanswered == 30);

    const LostLastAcks lost(tracked.netns, "(syn|ack) == (syn|ack)"); // replies all the same, and they prove nothing
    const auto half = tracked.netns.inside([] { return clients(7, "127.0.0.1", port); });
    CHECK(tracked.sample(1000).entries == 57);
    CHECK(tracked.sample(1000).unanswered == 37);
}

TEST_CASE("a sample is a part of a large table, in the proportion of the whole") {
    if (!std::filesystem::exists("/proc/sys/net/netfilter/nf_conntrack_max")) return;
    const Tracked tracked;
    const auto listener = tracked.netns.inside([] { return listen_on("127.0.0.1", port, 1024); });
    const auto established = tracked.netns.inside([] { return clients(400, "127.0.0.1", port); });
    tracked.send_datagrams(400);
    const ConntrackSample some = tracked.sample(200);
    CHECK(some.entries == 200);
    CHECK(some.unanswered > 50); // of a half: seven standard deviations away
    CHECK(some.unanswered < 150);
    CHECK(tracked.sample(10000).entries == 800);
    CHECK(tracked.sample(10000).unanswered == 400);
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
        WARN(entries << " sent: " << some.entries << " looked at in "
                     << std::chrono::duration_cast<std::chrono::microseconds>(taken).count() << " us");
    }
}

// SPDX-License-Identifier: Apache-2.0
// Who holds the memory that sockets share, and whose sockets do not move.
#include <algorithm>
#include <chrono>
#include <thread>

#include <catch2/catch.hpp>

#include "datagrams.hpp"
#include "netns/rungs.hpp"
#include "traffic.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using namespace bpftune::probes;
using namespace std::chrono_literals;

namespace {

constexpr auto look_every = 250ms;
constexpr int looks = 16; // longer than what does not move takes to be told, 3 s

MemoryReading of(std::span<const MemoryReading> readings, const Namespace& netns) {
    const auto found =
        std::ranges::find(readings, netns.inode(), [](const MemoryReading& each) { return each.netns.inode; });
    return found == readings.end() ? MemoryReading{} : *found;
}

std::optional<std::vector<MemoryReading>> look(Probes& probes) {
    must(probes.listeners({}).has_value(), "look through descriptors");
    return probes.memory().value();
}

// A connection within a namespace, that is filled again whenever it is read from.
class Filled {
public:
    explicit Filled(const Namespace& netns) {
        netns.inside([&] {
            const sys::Fd listener = listen_on("127.0.0.1", 8080, 1);
            auto connected = clients(1, "127.0.0.1", 8080);
            sender_ = std::move(connected.at(0));
            receiver_ = sys::Fd(::accept4(listener.value(), nullptr, nullptr, SOCK_CLOEXEC));
        });
        fill();
    }
    void read(std::size_t bytes) const {
        std::string data(bytes, '\0');
        (void)::recv(receiver_.value(), data.data(), data.size(), MSG_DONTWAIT);
        fill();
    }

private:
    void fill() const {
        const std::string data(1 << 16, 'x');
        while (::send(sender_.value(), data.data(), data.size(), MSG_DONTWAIT | MSG_NOSIGNAL) > 0) {
        }
    }

    sys::Fd sender_;
    sys::Fd receiver_;
};

} // namespace

TEST_CASE("a socket that is read from one datagram at a time moves, and one that nobody reads does not") {
    Probes probes = open_probes();
    if (!probes.looks_at_udp()) return; // this rung does not look through descriptors
    const Namespace slow, stuck;
    const Datagrams read_slowly(slow), never_read(stuck);
    read_slowly.send(2 * looks); // its reader takes all of them at the first read
    never_read.send(2 * looks);
    CHECK_FALSE(look(probes));
    probes.ask_for_memory(true);
    CHECK_FALSE(probes.memory().value());
    for (int i = 0; i < looks; ++i) {
        must(look(probes).has_value(), "look at memory");
        CHECK(read_slowly.read(1) == 1);
        std::this_thread::sleep_for(look_every);
    }
    const auto readings = look(probes);
    REQUIRE(readings);
    CHECK(of(*readings, slow).udp.held > 0);
    CHECK(of(*readings, slow).udp.still == 0);
    CHECK(of(*readings, stuck).udp.held > 0);
    CHECK(of(*readings, stuck).udp.still == of(*readings, stuck).udp.held);

    probes.ask_for_memory(false);
    probes.ask_for_memory(true); // nobody has looked since
    CHECK_FALSE(probes.memory().value());
}

TEST_CASE("a connection that is read from a byte at a time does not move, and one of which much is read does") {
    Probes probes = open_probes();
    if (!probes.looks_at_udp()) return; // this rung does not look through descriptors
    const Namespace trickles, works;
    const Filled trickle(trickles), work(works);
    probes.ask_for_memory(true);
    for (int i = 0; i < looks; ++i) {
        must(look(probes).has_value(), "look at memory");
        trickle.read(1);
        work.read(1 << 20);
        std::this_thread::sleep_for(look_every);
    }
    const auto readings = look(probes);
    REQUIRE(readings);
    CHECK(of(*readings, trickles).tcp.held > 0);
    CHECK(of(*readings, trickles).tcp.still == of(*readings, trickles).tcp.held);
    CHECK(of(*readings, works).tcp.held > 0);
    CHECK(of(*readings, works).tcp.still == 0);
}

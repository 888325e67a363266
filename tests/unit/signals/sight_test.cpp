// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <algorithm>

#include "signals/catalog.hpp"
#include "signals/sight.hpp"

using namespace bpftune;
using namespace bpftune::signals;

TEST_CASE("what a rung does not see is a signal of the catalog, and no label of one that it sees") {
    for (const Limitation& each : limitations()) {
        INFO(each.signal);
        CHECK(std::ranges::any_of(catalog(), [&](const Table& table) {
            return std::ranges::find(table.signals, each.signal, &Signal::name) != table.signals.end();
        }));
        CHECK(each.sight != Sight::exact);
        CHECK(each.rung != Rung::none);
    }
}

TEST_CASE("a rung sees exactly what the table does not say of it") {
    CHECK(sight_of(Rung::tracepoint, "listener.queue") == Sight::exact);
    CHECK(sight_of(Rung::netlink, "listener.arrivals") == Sight::unseen);
    CHECK(sight_of(Rung::procfs, "conntrack.inserts_per_second") == Sight::unseen);
}

TEST_CASE("blind spots are those of the probe and the rung, each once") {
    CHECK(blind_spots(Probe::conntrack, Rung::procfs) == "inserts, only net growth");
    CHECK(blind_spots(Probe::time_wait, Rung::procfs) == "connects that found no local port");
    CHECK(blind_spots(Probe::softirq, Rung::procfs).empty());
    const std::string spots = blind_spots(Probe::listen, Rung::tracepoint);
    CHECK(spots == "which of several listeners on one port (SO_REUSEPORT) a connection is for");
}

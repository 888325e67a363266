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
        CHECK((each.sight != Sight::exact || !each.what.empty()));
        CHECK(each.rung != Rung::none);
    }
}

TEST_CASE("a rung sees exactly what the table does not say of it") {
    CHECK(sight_of(Rung::tracepoint, "listener.queue") == Sight::exact);
    CHECK(sight_of(Rung::netlink, "listener.arrivals") == Sight::unseen);
    for (const Rung rung : {Rung::tracepoint, Rung::procfs, Rung::netlink})
        CHECK(sight_of(rung, "conntrack.inserts_per_second") == Sight::unseen);
    for (const Rung rung : {Rung::fentry, Rung::tracepoint, Rung::procfs, Rung::netlink})
        for (const char* signal : {"conntrack.drops", "conntrack.clashes", "conntrack.nat_exhausted"})
            CHECK(sight_of(rung, signal) == Sight::estimated);
    for (const char* signal : {"syn_queue.dropped", "syn_queue.other_drops"})
        CHECK(sight_of(Rung::fentry, signal) == Sight::estimated);
}

TEST_CASE("a rung that is taken is described by what it does not see, each cause once, and what is lost here") {
    const auto taken = [](Probe probe, Rung rung, const char* lost) {
        return described({.probe = probe, .rung = rung, .taken = true, .reason = lost});
    };
    CHECK(taken(Probe::softirq, Rung::procfs, "").empty());
    CHECK(taken(Probe::conntrack, Rung::procfs, "") == "does not see: inserts, only net growth");
    CHECK(taken(Probe::time_wait, Rung::procfs, "") == "does not see: namespaces without a process that are bound to "
                                                       "no file; connects that found no local port; fragments; TCP "
                                                       "sockets by state; losses for want of socket memory");
    CHECK(taken(Probe::softirq, Rung::procfs, "drops") == "does not see: drops");
    CHECK(
        taken(Probe::listen, Rung::tracepoint, "this") ==
        "does not see: what a second listen() on one socket asked for beyond somaxconn; which of several listeners on "
        "one port (SO_REUSEPORT), or with IP_TRANSPARENT, a connection is for; how full a SYN queue was between two "
        "looks; SYNs refused in the "
        "last quarter of tcp_max_syn_backlog by a queue that was as full between two looks only; this");
}

TEST_CASE("a rung that is not taken is described by why not") {
    CHECK(described({.probe = Probe::listen, .rung = Rung::fentry, .taken = false, .reason = "EPERM"}) == "EPERM");
}

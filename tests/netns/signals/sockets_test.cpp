// SPDX-License-Identifier: Apache-2.0
#include <catch2/catch.hpp>

#include <sys/prctl.h>

#include "netns/signals/socket_states.hpp"
#include "watcher.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

std::optional<NetnsTcp> row_of(const Snapshot& snapshot, const Namespace& netns) {
    for (const NetnsTcp& row : snapshot.tcp)
        if (row.netns.inode == netns.inode()) return row;
    return std::nullopt;
}

// Has so many connections to itself that the other end has closed. What `work` of Process returns is not used.
std::uint64_t leak(std::uint16_t port, std::size_t count) {
    ::prctl(PR_SET_NAME, "leaky");
    static std::vector<sys::Fd> kept;
    kept.push_back(listen_on("127.0.0.1", port, 64));
    auto theirs = clients(count, "127.0.0.1", port);
    for (std::size_t i = 0; i < count; ++i) kept.push_back(accept_one(kept.front()));
    theirs.clear();
    for (std::size_t i = 0; i < count; ++i) must(await(kept.at(i + 1), POLLRDHUP), "wait for the client's FIN");
    return 0;
}

} // namespace

TEST_CASE("sockets are counted by state as the kernel lists them, whoever holds them") {
    Watcher watcher(std::chrono::seconds(31));
    const Namespace netns;
    const Namespace idle;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const Process idler(idle, [] { return std::uint64_t{0}; });
    if (is_blind(watcher.probes().rung(Probe::time_wait) == Rung::tracepoint, "sockets by state")) return;
    const ConnectionsInStates connections(netns);
    CHECK(states_of(netns) == ConnectionsInStates::states);
    const auto snapshot = watcher.look();
    const auto row = row_of(snapshot, netns);
    REQUIRE(row.has_value());
    REQUIRE(row->states.has_value());
    CHECK(row->states->established == ConnectionsInStates::states.established);
    CHECK(row->states->fin_wait1 == ConnectionsInStates::states.fin_wait1);
    CHECK(row->states->fin_wait2 == ConnectionsInStates::states.fin_wait2);
    CHECK(*row->states == ConnectionsInStates::states);
    CHECK(row->listening == 3U);
    REQUIRE(row_of(snapshot, idle).has_value());
    CHECK(row_of(snapshot, idle)->states == TcpStates{});
    CHECK(row_of(snapshot, idle)->listening == 0U);
}

TEST_CASE("who leaves most connections open that the other end has closed is named") {
    Watcher watcher(std::chrono::seconds(31));
    const Namespace netns;
    const bool sees = watcher.probes().rung(Probe::listen) != Rung::netlink &&
                      watcher.probes().rung(Probe::time_wait) == Rung::tracepoint;
    if (is_blind(sees, "who holds a connection")) return;
    const Process less(netns, [] { return leak(8080, 4); });
    const Process more(netns, [] { return leak(8081, 7); });
    const Process none(netns, [] { return std::uint64_t{0}; });
    const auto row = row_of(watcher.look(), netns);
    REQUIRE(row.has_value());
    REQUIRE(row->states.has_value());
    CHECK(row->states->close_wait == 4 + 7);
    REQUIRE(row->close_wait_holder.has_value());
    CHECK(row->close_wait_holder->pid == more.pid());
    CHECK(row->close_wait_holder->command == "leaky");
    CHECK(row->close_wait_holder->held == 7);
}

TEST_CASE("a namespace whose connections are in a table of its own has no states, and others still have theirs") {
    const Namespace netns;
    try {
        netns.write("sys/net/ipv4/tcp_child_ehash_entries", "1024");
    } catch (const std::exception&) {
        return; // a kernel before 6.1
    }
    Watcher watcher(std::chrono::seconds(31));
    if (is_blind(watcher.probes().rung(Probe::time_wait) == Rung::tracepoint, "sockets by state")) return;
    // A child of the namespace: what is made inside of it.
    const Process child(netns, [] {
        must(::unshare(CLONE_NEWNET) == 0, "unshare");
        return std::uint64_t{0};
    });
    const Process resident(netns, [] { return std::uint64_t{0}; });
    const auto snapshot = watcher.look();
    REQUIRE(row_of(snapshot, netns).has_value());
    CHECK(row_of(snapshot, netns)->states.has_value());
    const auto own = std::ranges::find(snapshot.tcp, child.pid(), &NetnsTcp::pid);
    REQUIRE(own != snapshot.tcp.end());
    CHECK_FALSE(own->states.has_value());
}

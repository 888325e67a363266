// SPDX-License-Identifier: Apache-2.0
// What doctor says that the kernel has counted.
#include "netns/service/fixtures.hpp"
#include "netns/signals/socket_states.hpp"
#include "sys/procfs.hpp"

using namespace bpftune;
using namespace bpftune::testing;

TEST_CASE("doctor has the sockets by state, the segments and the conntrack entries of a namespace as the kernel does") {
    const Namespace netns;
    const Process resident(netns, [] { return std::uint64_t{0}; });
    track_connections(netns);
    const ConnectionsInStates connections(netns);
    const auto counter = [&](const char* name) {
        return sys::netstat_value(netns.read("net/snmp"), "Tcp", name).value();
    };
    Json row;
    REQUIRE(comes_true([&] { // segments go on being sent again
        const std::uint64_t sent = counter("OutSegs");
        const std::uint64_t again = counter("RetransSegs");
        const Json document = Json::parse(run({"doctor", "-o", "json"}).out);
        row = row_where(document["counted"]["namespaces"], {{"netns", netns.inode()}});
        if (again == 0 || counter("OutSegs") != sent || counter("RetransSegs") != again) return false;
        CHECK(row["segments_sent"] == sent);
        CHECK(row["segments_retransmitted"] == again);
        CHECK(document["counted"]["softnet"]["processed"] > 0);
        return true;
    }));
    CHECK(row["conntrack_entries"] > 0);
    CHECK(row["conntrack"]["tcp"] == row["conntrack_entries"]);
    CHECK(row["conntrack"]["established"] > 0);
    if (expects_bpf()) REQUIRE(row["states"].is_object());
    if (row["states"].is_null()) return;
    const TcpStates truth = states_of(netns);
    CHECK(row["states"]["established"] == truth.established);
    CHECK(row["states"]["last_ack"] == truth.last_ack);
    CHECK(row["states"]["fin_wait1"] == truth.fin_wait1);
    CHECK(row["states"]["syn_recv"] == truth.syn_recv);
    CHECK(mentions(run({"doctor"}).out, std::to_string(netns.inode())));
}

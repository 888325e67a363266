// SPDX-License-Identifier: Apache-2.0
// How often the probes' programs run for a connection that nothing happens to, by the kernel's own count.
#include <catch2/catch.hpp>

#include <map>

#include "netns/probes/program_costs.hpp"
#include "netns/probes/traffic.hpp"
#include "netns/rungs.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t port = 8080;
constexpr std::uint64_t connections = 100;

void make_connections(const Namespace& netns) {
    netns.inside([] {
        const auto listener = listen_on("127.0.0.1", port, 128);
        for (std::uint64_t i = 0; i < connections; ++i) {
            const auto client = clients(1, "127.0.0.1", port);
            const sys::Fd accepted = accept_one(listener);
        }
    });
}

} // namespace

TEST_CASE("by fentry a connection is three runs where it is accepted, one where it is opened, and one for conntrack",
          "[loud]") {
    const sys::Fd statistics(bpf_enable_stats(BPF_STATS_RUN_TIME)); // off again when closed
    REQUIRE(statistics);
    auto probes = open_probes();
    if (probes.rung(Probe::listen) != Rung::fentry || probes.rung(Probe::conntrack) != Rung::fentry) {
        WARN("this kernel, or this run, has no fentry");
        return;
    }
    const Namespace netns;
    shell("ip netns exec " + netns.name() +
          " nft 'add table ip t; add chain ip t c { type filter hook input priority 0; };" +
          " add rule ip t c ct state new accept'");
    (void)probes.softirq(); // twice: no drops meanwhile
    (void)probes.softirq();
    make_connections(netns);
    std::map<std::string, std::uint64_t> ours;
    for (const auto& [id, program] : program_costs())
        if (program.runs > 0) ours[program.name] = program.runs;
    ours.erase("tables"); // the iterator that looked for nf_conntrack's counters when the probes were opened
    // listen_start and listen_stop: once. Of anything else that runs, the name is in the message.
    CHECK(ours == std::map<std::string, std::uint64_t>{{"listen_start", 1},
                                                       {"listen_stop", 1},
                                                       {"syn", connections},
                                                       {"arrival", connections},
                                                       {"last_ack", connections},
                                                       {"connect_v4", connections},
                                                       {"insert", connections}});
}

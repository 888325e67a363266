// SPDX-License-Identifier: Apache-2.0
// What the BPF programs cost per TCP connection with both ends local, by the kernel's own bpf_stats; beside it, what
// empty programs cost that run as often. One JSON line.
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <vector>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <linux/bpf.h>

#include "bench/empty_programs.hpp"
#include "netns/probes/program_costs.hpp"
#include "netns/probes/traffic.hpp"

namespace {

using namespace bpftune;
using namespace bpftune::testing;

constexpr std::size_t connections = 20'000; // fewer than a namespace has ports
constexpr int rounds = 5;

void make_connections() {
    const Namespace netns;
    netns.inside([] {
        constexpr std::uint16_t port = 8080;
        const auto listener = listen_on("127.0.0.1", port, 128);
        for (std::size_t i = 0; i < connections; ++i) {
            const auto client = clients(1, "127.0.0.1", port);
            const sys::Fd accepted = accept_one(listener);
        }
    });
}

// Of the programs that are there now, while the connections are made.
ProgramCost measured() {
    const auto before = program_costs();
    make_connections();
    ProgramCost sum;
    for (const auto& [id, cost] : program_costs()) {
        if (!before.contains(id)) continue;
        sum.nanoseconds += cost.nanoseconds - before.at(id).nanoseconds;
        sum.runs += cost.runs - before.at(id).runs;
    }
    return sum;
}

void run() {
    const sys::Fd statistics(bpf_enable_stats(BPF_STATS_RUN_TIME)); // off again when closed
    must(static_cast<bool>(statistics), "bpf_stats");
    ProgramCost ours;
    ProgramCost empty;
    for (int round = 0; round < rounds; ++round) {
        {
            const auto probes = probes::Probes::open({});
            const ProgramCost cost = measured();
            ours.nanoseconds += cost.nanoseconds;
            ours.runs += cost.runs;
        }
        const EmptyPrograms nothing;
        const ProgramCost cost = measured();
        empty.nanoseconds += cost.nanoseconds;
        empty.runs += cost.runs;
    }
    const double total = static_cast<double>(connections) * rounds;
    const double ns = static_cast<double>(ours.nanoseconds) / total;
    const double runs = static_cast<double>(ours.runs) / total;
    const double floor = static_cast<double>(empty.nanoseconds) / static_cast<double>(empty.runs) * runs;
    fmt::print("{{\"bench\": \"probes\", \"connections\": {}, \"runs_per_connection\": {:.2f}, "
               "\"ns_per_connection\": {:.0f}, \"ns_per_connection_goal\": 900, "
               "\"ns_above_empty\": {:.0f}, \"ns_above_empty_goal\": 300}}\n",
               connections * rounds, runs, ns, ns - floor);
}

} // namespace

int main() {
    try {
        run();
        return EXIT_SUCCESS;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "probes-bench: %s\n", error.what());
        return EXIT_FAILURE;
    }
}

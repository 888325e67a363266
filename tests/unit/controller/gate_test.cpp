// SPDX-License-Identifier: Apache-2.0
// What the policy lets through, by which `policy show` tells what is allowed.
#include "controller/gate.hpp"

#include <catch2/catch.hpp>

#include "tunables/catalog.hpp"

using namespace bpftune;
using namespace bpftune::controller;
using namespace std::chrono_literals;

TEST_CASE("what nobody has set is raised without a name only where the catalog says that it needs none") {
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    State state;
    Snapshot snapshot;
    snapshot.memory_bytes = 16ULL << 30;
    const Gate gate(policy, state, snapshot, MonoTime{1h});
    for (const tunables::Tunable& row : tunables::catalog()) {
        CAPTURE(row.name);
        const auto refusal = gate.why_no_further(
            {.tunable = row.id, .from = row.kernel_min, .to = row.default_max, .within_asked = true});
        const bool needs_name = row.opt_in && row.opt_in_where.empty();
        CHECK((refusal == "its mode is observe") == needs_name);
    }
}

// SPDX-License-Identifier: Apache-2.0
// What the policy lets through, by which `policy show` tells what is allowed.
#include "controller/gate.hpp"

#include <catch2/catch.hpp>

#include "tunables/catalog.hpp"
#include "unit/controller/servers.hpp"

using namespace bpftune;
using namespace bpftune::controller;
using namespace bpftune::testing;
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

TEST_CASE("raises that go on failing do not hold up the roll-back of an earlier one") {
    Servers node;
    Listener& listener = node.add(1);
    listener.limit = 512;
    const Scope scope = scope_of(listener);
    adopt(
        node.state,
        {.tunable = TunableId::listener_backlog, .scope = scope, .original = 128, .current = 512, .before_trial = 128},
        MonoTime(1h));
    for (int seconds = 0; seconds < 540; ++seconds) node.tick();
    const Decision raise{.tunable = TunableId::listener_backlog, .scope = scope, .from = 512, .to = 1024};
    for (int failed = 0; failed < 6; ++failed) settle(node.state, raise, {}, MonoTime(1h + 540s));
    CHECK(node.state.retry_after.at(key_of(raise.tunable, scope)) == MonoTime(1h + 540s + 32min));
    for (int seconds = 0; seconds < 59; ++seconds) node.tick();
    CHECK(listener.limit == 512);
    for (int seconds = 0; seconds < 5; ++seconds) node.tick();
    CHECK(listener.limit == 128); // after the longest trial: it was not needed
}

TEST_CASE("within a step the trial that an object is part of is known, whichever it joins or leaves") {
    const policy::Policy policy;
    const Snapshot snapshot;
    State state;
    const auto scope_of_port = [](std::uint16_t port) {
        Listener listener;
        listener.local.port = port;
        listener.cookie = port;
        return scope_of(listener);
    };
    const auto object_of_port = [&](std::uint16_t port) {
        return key_of(TunableId::listener_backlog, scope_of_port(port));
    };
    for (std::uint16_t port = 1; port <= 3; ++port)
        adopt(state,
              {.tunable = TunableId::listener_backlog,
               .scope = scope_of_port(port),
               .original = 128,
               .current = 512,
               .before_trial = 128},
              MonoTime{1h});
    Gate gate(policy, state, snapshot, MonoTime{2h});
    const ObjectKey first = object_of_port(1);
    const ObjectKey second = object_of_port(2);
    const ObjectKey unknown = object_of_port(9);
    CHECK(trial_with(gate, first) == &state.trials.at({.object = first}));
    CHECK(trial_with(gate, unknown) == nullptr);

    enter_trial(gate, second, {.trial = {.object = first}}, 512);
    CHECK(trial_with(gate, second) == &state.trials.at({.object = first}));
    CHECK_FALSE(state.trials.contains({.object = second}));
    enter_trial(gate, unknown, {.trial = {.object = unknown}}, 512);
    CHECK(trial_with(gate, unknown) == &state.trials.at({.object = unknown}));

    leave_trial(state, first);
    CHECK(trial_with(gate, first) == nullptr);
    end_trial(gate, {.object = first}, "gone");
    CHECK(trial_with(gate, second) == nullptr);
    CHECK(trial_with(gate, object_of_port(3)) == trial_with(state, object_of_port(3)));
}

TEST_CASE("two kinds of findings on one limit that take turns are recorded once an hour each") {
    policy::Policy policy;
    policy.mode = policy::Mode::automatic;
    State state;
    const Snapshot snapshot;
    const auto rows_of_a_minute = [&](MonoTime from, std::uint64_t wanted) {
        std::size_t rows = 0;
        for (MonoTime now = from; now < from + 1min; now += 1s) {
            Gate gate(policy, state, snapshot, now);
            gate.advise({.tunable = TunableId::conntrack_max, .from = 20000, .to = 20000, .why = "a flood"}, "flood");
            gate.advise({.tunable = TunableId::conntrack_max, .from = 20000, .to = wanted, .why = "too much"},
                        "shares");
            rows += gate.take().size();
        }
        return rows;
    };
    CHECK(rows_of_a_minute(MonoTime(1h), 32768) == 2);
    CHECK(rows_of_a_minute(MonoTime(1h + 1min), 32768) == 0);
    CHECK(rows_of_a_minute(MonoTime(1h + 2min), 65536) == 1); // what is wished has doubled
    CHECK(rows_of_a_minute(MonoTime(2h + 3min), 65536) == 2);
}

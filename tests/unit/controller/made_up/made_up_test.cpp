// SPDX-License-Identifier: Apache-2.0
// A resource that the rest of the program has never heard of: this file and one row of the catalog are all of it. (The
// two lists below stand in the place of tunables/rows.cpp and controller/resources.cpp.)
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>

#include "controller/accept_queue.hpp"
#include "controller/conntrack.hpp"
#include "controller/gate.hpp"
#include "controller/resource.hpp"
#include "controller/step.hpp"
#include "recording/what_if.hpp"
#include "tunables/rows.hpp"

using namespace bpftune;
using namespace std::chrono_literals;

namespace {

constexpr auto made_up = static_cast<TunableId>(39);

constexpr tunables::Tunable made_up_row{
    .id = made_up,
    .key = "made_up",
    .name = "net.core.made_up",
    .kind = tunables::Kind::host_sysctl,
    .path = "net/core/made_up",
    .kernel_min = 0,
    .kernel_max = 1u << 30,
    .held_at_once = "queued at once",
    .default_max = 16384,
    .default_shrink_after = 1h,
    .opt_in = false,
    .unit_bytes = 256,
    .worst_unit_bytes = 256,
    .serves = "softirq.dropped",
};

// In this test `dropped` is of the last interval.
void read_made_up(const controller::View& view, std::vector<controller::Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    if (snapshot.softirq.empty()) return;
    const SoftirqCpu& cpu = snapshot.softirq.front();
    const std::uint64_t queued = cpu.backlog.value_or(0);
    readings.push_back({.object = {made_up, snapshot.host},
                        .value = cpu.backlog_limit,
                        .read = snapshot.time.mono,
                        .in_use = queued,
                        .use = controller::Use{.used = queued, .wanted = 2 * queued, .pressed = cpu.dropped > 0},
                        .charged = queued,
                        .measured = {.losses = cpu.dropped, .demand = queued + cpu.dropped, .use = queued}});
}

void raise_made_up(controller::Gate& gate) {
    const controller::Reading* reading = gate.readings().find({made_up, gate.snapshot().host});
    if (reading == nullptr || reading->measured.losses == 0) return;
    gate.raise({.tunable = made_up,
                .scope = reading->scope(),
                .from = *reading->value,
                .to = 2 * *reading->value,
                .why = "lost",
                .expected = {2 * *reading->value},
                .reason = {.trial = {.object = reading->object},
                           .cause = controller::Cause::loss,
                           .fitted = *reading->value,
                           .before = reading->measured},
                .demand = reading->object});
}

void show_made_up(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    const auto value = value_of({made_up, snapshot.host});
    for (SoftirqCpu& cpu : snapshot.softirq) cpu.backlog_limit = value.value_or(cpu.backlog_limit);
}

} // namespace

std::span<const tunables::Tunable> tunables::catalog() {
    static const std::vector<Tunable> rows = [] {
        std::vector<Tunable> all;
        for (const auto& of_resource :
             {accept_queue_rows(), conntrack_rows(), tcp_buffer_rows(), udp_buffer_rows(), backlog_rows(), port_rows(),
              neighbour_rows(), fragment_rows(), socket_size_rows(), tw_reuse_rows(), congestion_rows(),
              socket_memory_rows(), fast_open_rows(), conntrack_timeout_rows(), steering_rows(), interrupt_rows()})
            all.insert(all.end(), of_resource.begin(), of_resource.end());
        all.push_back(made_up_row);
        return all;
    }();
    return rows;
}

std::span<const controller::Resource> controller::resources() {
    static constexpr std::array rows{accept_queue, conntrack,
                                     Resource{.read = read_made_up, .rule = raise_made_up, .show = show_made_up}};
    return rows;
}

namespace {

struct Node {
    policy::Policy policy;
    controller::State state;
    MonoTime now{1h};
    std::uint64_t limit = 1000;
    std::uint64_t queued = 1000;
    std::uint64_t dropped = 100;

    Node() { policy.mode = policy::Mode::automatic; }

    [[nodiscard]] Snapshot snapshot() const {
        Snapshot snapshot{.time = {.mono = now, .wall = {}}, .interval = 1s, .node = "n", .host = {1, 1}};
        snapshot.memory_bytes = 16ULL << 30;
        snapshot.softirq = {{.cpu = 0, .dropped = dropped, .backlog = queued, .backlog_limit = limit}};
        return snapshot;
    }

    std::vector<Decision> tick() {
        now += 1s;
        auto decisions = controller::step(policy, state, snapshot(), now);
        for (const Decision& decision : decisions) {
            if (!is_write(decision)) continue;
            limit = decision.to;
            controller::settle(state, decision, {Outcome::Kind::written, decision.to, {}}, now);
        }
        return decisions;
    }

    // The first decision of this kind within a minute.
    std::optional<Decision> wait_for(Decision::Act act) {
        for (int i = 0; i < 60; ++i) {
            const auto decisions = tick();
            const auto found = std::ranges::find(decisions, act, &Decision::act);
            if (found != decisions.end()) return *found;
        }
        return std::nullopt;
    }
};

} // namespace

TEST_CASE("a resource of one file and one row is raised, and kept where that helped") {
    Node node;
    const auto raise = node.wait_for(Decision::Act::write);
    REQUIRE(raise);
    CHECK(raise->tunable == made_up);
    CHECK(raise->to == 2000);
    node.queued = 1500;
    node.dropped = 0;
    const auto verdict = node.wait_for(Decision::Act::keep);
    REQUIRE(verdict);
    CHECK(verdict->why == "1500 queued at once where 1000 fitted before, and none was lost");
    CHECK(node.state.held.at({made_up, {1, 1}}).used == 500);
}

TEST_CASE("a resource of one file and one row is rolled back where that did not help") {
    Node node;
    REQUIRE(node.wait_for(Decision::Act::write));
    const auto back = node.wait_for(Decision::Act::roll_back);
    REQUIRE(back);
    CHECK(back->to == 1000);
    CHECK_THAT(back->why, Catch::StartsWith("lost "));
    CHECK(node.state.held.empty());
}

TEST_CASE("a resource of one file and one row is given back after a calm, and forgotten when it is gone") {
    Node node;
    REQUIRE(node.wait_for(Decision::Act::write));
    node.queued = 1500;
    node.dropped = 0;
    REQUIRE(node.wait_for(Decision::Act::keep));
    node.queued = 10;
    node.now += 1h;
    node.tick(); // too much was in use in this hour
    node.now += 1h;
    const auto less = node.wait_for(Decision::Act::give_back);
    REQUIRE(less);
    CHECK(less->to == 1000);

    node.dropped = 100;
    node.now += 1h;
    REQUIRE(node.wait_for(Decision::Act::write));
    Snapshot empty = node.snapshot();
    empty.softirq.clear();
    empty.time.mono = node.now += 1s;
    const auto decisions = controller::step(node.policy, node.state, empty, node.now);
    REQUIRE(decisions.size() == 1);
    CHECK(decisions.front().act == Decision::Act::forget);
}

TEST_CASE("a replay shows the value that a resource of one file and one row would have had") {
    Node node;
    recording::WhatIf what_if;
    const auto raise = node.wait_for(Decision::Act::write);
    REQUIRE(raise);
    what_if.replay_wrote(*raise, node.now);
    node.limit = 1000; // as it was recorded
    node.now += 1s;
    const Snapshot* shown = what_if.shown(node.snapshot());
    REQUIRE(shown != nullptr);
    CHECK(shown->softirq.front().backlog_limit == 2000);
}

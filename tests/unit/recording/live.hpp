// SPDX-License-Identifier: Apache-2.0
// A service without a kernel: it decides on a World, and records as the daemon does.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "recording/recording.hpp"
#include "unit/controller/world.hpp"

namespace bpftune::testing {

struct Live {
    World world;
    policy::Policy policy;
    controller::State state;
    std::vector<std::string> lines;
    std::vector<Decision> decisions; // all that were made since the recording began
    std::vector<Outcome> outcomes;   // of the writes among them
    MonoTime now{std::chrono::hours(1)};
    std::function<bool()> fails = [] { return false; }; // whether the next write does

    void begin_recording() {
        lines.push_back(encoder_.begin({.schema = recording::current_schema,
                                        .version = "1",
                                        .node = "n1",
                                        .boot = "b",
                                        .time = {now, {}},
                                        .policy = recording::lines_of(policy),
                                        .origin = recording::origin_of(policy),
                                        .state = state}));
    }

    void decide(const Snapshot& snapshot) {
        recording::Step step{.now = now, .decisions = controller::step(policy, state, snapshot, now), .settled = {}};
        for (std::size_t i = 0; i < step.decisions.size(); ++i) {
            const Decision& decision = step.decisions[i];
            decisions.push_back(decision);
            if (!is_write(decision)) continue;
            now += std::chrono::microseconds(100);
            Outcome outcome{.kind = Outcome::Kind::failed, .error = "Permission denied"};
            if (!fails()) outcome = world.write(decision);
            controller::settle(state, decision, outcome, now);
            step.settled.push_back({i, outcome, now});
            outcomes.push_back(outcome);
        }
        lines.push_back(encoder_.step(snapshot, step));
    }

    void reload(const policy::Policy& loaded) {
        policy = loaded;
        controller::reloaded(state);
        lines.push_back(recording::Encoder::reloaded(policy));
    }

private:
    recording::Encoder encoder_;
};

} // namespace bpftune::testing

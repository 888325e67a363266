// SPDX-License-Identifier: Apache-2.0
// What the controller decides on a recording, under the policy of then or another one.
//
// A write that was also made then has the outcome and the time of then: so under the same policy every decision is the
// recorded one. Any other is taken as made (what_if.hpp has the model).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "policy/policy.hpp"
#include "recording/recording.hpp"
#include "recording/what_if.hpp"

namespace bpftune::recording {

// A decision, as `history` would have it, with the state that it leads to.
struct Replayed {
    Change change;
    bool live = false; // the service decided the same, then
};

// A limit that was changed, then or in the replay, or that was held when the recording began.
struct Limit {
    Scope scope;
    std::uint64_t original = 0;
    std::uint64_t replayed = 0; // at the end
    std::uint64_t recorded = 0; // at the end, by what was written then
};

// What is lost at a limit, summed over ticks.
struct Losses {
    std::uint64_t recorded = 0;
    std::uint64_t replayed = 0;
};

struct Report {
    std::uint64_t snapshots = 0;
    std::optional<Now> first;
    Now last;
    std::uint64_t raises = 0;
    std::uint64_t roll_backs = 0;
    std::uint64_t differing = 0; // snapshots on which not everything was decided as then
    Losses overflows;            // of accept queues
    Losses conntrack_drops;
    std::map<ObjectKey, Limit> limits;
    std::vector<Replayed> decisions;
};

class Replay {
public:
    // nullopt: the policy of then, with every change of it.
    explicit Replay(std::optional<policy::Policy> policy) : own_policy_(std::move(policy)) {}

    // The lines of a recording in their order; the first one is its header. Error: it is none, or larger than any: what
    // is kept of it and of what was decided on it takes more than most_held_bytes. A node makes some hundreds of
    // decisions in a night, there is room for 100,000.
    Result<> take(std::string_view line);

    [[nodiscard]] const Header& header() const { return header_; } // the first one, but for its state
    [[nodiscard]] const policy::Policy& policy() const { return policy_; }
    [[nodiscard]] const controller::State& state() const { return state_; }
    [[nodiscard]] const Report& report() const { return report_; }

private:
    Result<> begin();
    Result<> reload();
    void restore();
    [[nodiscard]] std::size_t kept_bytes() const;
    [[nodiscard]] Result<> check_memory() const;
    void step();
    void settle(const Decision& decision, const Step& then);
    void note(const Decision& decision, const Step& then);
    void note_live_writes(const Step& then);
    void count_losses(const Snapshot& recorded, const Snapshot& shown);
    Limit& limit_of(const Decision& decision);

    std::optional<policy::Policy> own_policy_;
    policy::Policy policy_;
    bool begun_ = false;
    Header header_;
    Decoder decoder_;
    WhatIf what_if_;
    controller::State state_;
    Report report_;
    std::size_t kept_outside_ = 0; // of the report's rows, and of the header: texts and lists
};

} // namespace bpftune::recording

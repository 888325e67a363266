// SPDX-License-Identifier: Apache-2.0
// Between what a rule wishes and what is done: mode, opt-in, bounds, memory budget, cooldown, and other people's
// values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "policy/policy.hpp"

namespace bpftune::controller {

struct Wish {
    TunableId tunable = TunableId::somaxconn;
    Scope scope;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::string why;
    std::vector<Evidence> evidence;
    std::optional<MonoTime> event;
    bool urgent = false;       // exempt from the cooldown: the correction after a burst, or a loss that goes on
    bool within_asked = false; // a listener is granted what its application asked for: belongs to somaxconn, no opt-in
};

class Gate {
public:
    // Two raises of one object are at least this far apart, so that the first can show its effect.
    static constexpr Nanoseconds cooldown = std::chrono::seconds(10);
    // A write that failed is not tried again before.
    static constexpr Nanoseconds retry = std::chrono::minutes(1);
    // A value that was another one than the snapshot said is looked at again first.
    static constexpr Nanoseconds look_again = std::chrono::seconds(1);
    // The same thing is said again after.
    static constexpr Nanoseconds reminder = std::chrono::hours(1);

    Gate(const policy::Policy& policy, State& state, std::uint64_t node_memory_bytes, MonoTime now)
        : policy_(policy), state_(state), memory_bytes_(node_memory_bytes), now_(now) {}

    // Decides on one raise. The value that the object will then have: `wish.to` or less if written, else `wish.from`.
    std::uint64_t raise(Wish wish);

    // A finding that no raise can cure: recorded once, with from = to, where the mode lets anything be said.
    void say(Wish finding, std::string_view kind);

    // Decisions that are no raises.
    void add(Decision decision) { decisions_.push_back(std::move(decision)); }

    [[nodiscard]] const policy::Policy& policy() const { return policy_; }
    [[nodiscard]] State& state() { return state_; }
    [[nodiscard]] const State& state() const { return state_; }
    [[nodiscard]] MonoTime now() const { return now_; }
    [[nodiscard]] std::vector<Decision> take() { return std::move(decisions_); }

private:
    [[nodiscard]] policy::Mode mode_of(const Wish& wish) const;
    [[nodiscard]] std::uint64_t budget_left() const;
    [[nodiscard]] bool too_soon(const ObjectKey& key, const Wish& wish) const;
    bool fit_bounds(Wish& wish);
    bool fit_budget(Wish& wish);
    void write(const ObjectKey& key, Wish wish);

    const policy::Policy& policy_;
    State& state_;
    std::uint64_t memory_bytes_;
    MonoTime now_;
    std::vector<Decision> decisions_;
};

} // namespace bpftune::controller

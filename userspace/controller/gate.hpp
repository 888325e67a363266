// SPDX-License-Identifier: Apache-2.0
// Between what a rule wishes and what is done: mode, opt-in, bounds, memory budget, cooldown, back-off, and other
// people's values. Every write passes here, so what invariants.hpp promises of writes is enforced here.
#pragma once

#include <cstdint>
#include <expected>
#include <map>
#include <optional>
#include <ranges>
#include <string>
#include <string_view>
#include <vector>

#include "controller/grants.hpp"
#include "controller/invariants.hpp"
#include "controller/reading.hpp"
#include "controller/state.hpp"
#include "controller/trial.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "policy/policy.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {

// The evidence of a write that says what use is expected: after a restart the raise is charged by it.
inline constexpr std::string_view expected_use = "expected_use";
// Of several who are held to the limit, what all of them expect beyond the original; that above is of the one with
// most.
inline constexpr std::string_view expected_of_all = "expected_of_all";

struct Wish {
    TunableId tunable{};
    Scope scope;
    std::uint64_t from = 0;
    std::uint64_t to = 0;
    std::string why;
    // The use that is expected, headroom included, by each who is held to the limit: what is charged. A table or queue
    // that is allocated whole: `to`.
    std::vector<std::uint64_t> expected;
    std::vector<Evidence> evidence;
    std::optional<MonoTime> event;
    Reason reason;
    ObjectKey demand; // whose demand it is for: what a flood is kept under
    // The socket that needs it, whose holder may be held to less than the namespace of the object; nullopt: nobody's.
    std::optional<ObjectKey> asker;
    // Of one of the node's limits: the tenants who alone ask for it (ask_for()). Empty: the node itself does, or who
    // does is not known.
    std::vector<Tenant> askers;
    bool urgent = false; // exempt from the cooldown
    // What the application asked for is granted, or it asked for nothing: that belongs to the tunable that bounds it,
    // and needs no opt-in.
    bool within_asked = false;
};

// `tenants`: who alone asks for it, if anybody does (Askers::alone()).
void ask_for(Wish& wish, std::vector<Tenant> tenants);

struct Cost;

class Gate {
public:
    // A write that failed is not tried again before; doubled by each further one that failed in a row, to an hour.
    // A roll-back does not wait longer than this.
    static constexpr Nanoseconds retry = std::chrono::minutes(1);
    static constexpr Nanoseconds longest_retry = std::chrono::hours(1);
    // A value that was another one than the snapshot said is looked at again first.
    static constexpr Nanoseconds look_again = std::chrono::seconds(1);
    // What is new is known by then, mostly: before, it is not worth a word that it is not.
    static constexpr Nanoseconds until_known = std::chrono::seconds(10);
    // The same thing is said again after.
    static constexpr Nanoseconds reminder = std::chrono::hours(1);

    Gate(const policy::Policy& policy, State& state, const Snapshot& snapshot, MonoTime now);

    // Decides on one raise. The value that the object will then have: `wish.to` or less if written, else `wish.from`.
    std::uint64_t raise(Wish wish);

    // Holds a wish to what a flood is worth. False: to nothing, and that has been said.
    bool fit_flood(Wish& wish);

    // As far as the shares of those who alone ask for it go if everybody filled it: `wish.to` or less; all of it where
    // nobody is held to a share.
    [[nodiscard]] std::uint64_t within_shares(const Wish& wish) const;

    // Takes a raise back, to the value that its object had before, unless the mode allows no write now or the last try
    // failed a moment ago.
    void take_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                   std::vector<Evidence> evidence);

    // Gives a part of a raise back, down to `value`. Whether that is settled: written, or said where the mode allows no
    // more; else it is to be tried again.
    bool give_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                   std::vector<Evidence> evidence);

    // Is to be taken back as its use falls (undo.hpp).
    void undo_later(const ObjectKey& object, Undo undo);

    // Takes a part of a failed raise back, down to `value`, unless the mode allows no write now, the last step or try
    // was a moment ago, or there were as many changes in an hour as there may be.
    void step_back(const ObjectKey& object, std::uint64_t value, const std::string& why,
                   std::vector<Evidence> evidence);

    // The calm after which the policy lets it be given back; nullopt: never.
    [[nodiscard]] std::optional<Nanoseconds> shrink_after(const ObjectKey& object) const;

    // What the policy allows of an object, by whose it is. The node's own limits are held to `spec` alone.
    [[nodiscard]] policy::TunablePolicy bounds_of(const ObjectKey& object) const;
    [[nodiscard]] policy::Mode mode_of(const ObjectKey& object, bool within_asked = false) const; // as in Wish
    // The same, where that holder of the socket that needs it has a say as well.
    [[nodiscard]] policy::TunablePolicy bounds_of(const Wish& wish) const;

    // Whether the demand of this namespace, or of a socket, counts for the node's object: an entry of the policy may
    // leave it out.
    [[nodiscard]] bool asks(TunableId tunable, const NetnsId& netns) const;
    [[nodiscard]] bool asks(TunableId tunable, const UdpSocket& socket) const;

    // Whether anything may be said of it for this listener's sake.
    [[nodiscard]] bool is_heard(TunableId tunable, const Listener& listener) const;

    // Sets a value of ours, which someone lowered to `found`, to what it was, or will when a write may be tried again.
    // Error: why not, in words that continue those of `who`; empty where that needs no words.
    std::expected<void, std::string> put_back(const ObjectKey& object, std::uint64_t found, const std::string& who);

    // Whether this step does so: what was lost since is no reason to raise anything.
    [[nodiscard]] bool puts_back(const ObjectKey& object) const;

    // Why an object cannot be raised any more, whatever its demand, in words that continue "cannot be raised: ". Less
    // than a quarter more is none. nullopt: it can.
    [[nodiscard]] std::optional<std::string> why_no_further(Wish wish) const;

    // Whether somebody else has set it since the last tick: what was lost since then may be of the value before.
    [[nodiscard]] bool is_set_anew(const ObjectKey& object) const;

    // Whether a raise was rolled back there, too short a while ago.
    [[nodiscard]] bool backs_off(const TrialKey& trial) const;

    // The trial that an object is part of; nullptr: of none. Found without a walk through all of them.
    [[nodiscard]] const TrialKey* trial_key_of(const ObjectKey& object) const;

    // An object is about to be part of this trial.
    void note_trial(const ObjectKey& object, const TrialKey& trial) { on_trial_.insert_or_assign(object, trial); }

    // A finding that no raise can cure, or none that may be made: recorded once, where the mode lets anything be said.
    void advise(Wish finding, std::string_view kind);

    // Decisions that write nothing.
    void add(Decision decision) { decisions_.push_back(std::move(decision)); }

    [[nodiscard]] const policy::Policy& policy() const { return policy_; }
    [[nodiscard]] State& state() { return state_; }
    [[nodiscard]] const State& state() const { return state_; }
    [[nodiscard]] const Held* held(const ObjectKey& object) const;
    [[nodiscard]] const Snapshot& snapshot() const { return snapshot_; }
    [[nodiscard]] const Readings& readings() const { return readings_; }
    // What we hold that `object` bounds, in the order of their objects.
    [[nodiscard]] auto held_bounded_by(const ObjectKey& object) const {
        const auto* bounded = tunables::bounded_by(object.tunable);
        const TunableId id = bounded != nullptr ? bounded->id : object.tunable;
        const auto& held = state_.held;
        const auto first = held.lower_bound({id, object.netns, 0});
        return std::ranges::subrange(first,
                                     bounded != nullptr ? held.upper_bound({id, object.netns, no_limit}) : first);
    }
    // What `object` follows; nullopt: nothing.
    [[nodiscard]] static std::optional<ObjectKey> leader_of(const ObjectKey& object);
    // Whether its demand outgrew so many raises that the next one is to be fourfold.
    [[nodiscard]] bool is_on_ramp(const ObjectKey& object) const;
    [[nodiscard]] MonoTime now() const { return now_; }
    [[nodiscard]] std::vector<Decision> take() { return std::move(decisions_); }

private:
    // The lowest of those who have a say, and whose it is; of spec where nobody lowers that.
    struct Say {
        policy::Mode mode{};
        policy::Grant grant;
    };
    [[nodiscard]] policy::Grant grant_of(const ObjectKey& object) const;
    [[nodiscard]] bool asks(TunableId tunable, const policy::Grant& grant) const;
    [[nodiscard]] Say say_on(const ObjectKey& object, const std::optional<ObjectKey>& asker, bool within_asked) const;
    [[nodiscard]] Say say_on(const Wish& wish) const;
    [[nodiscard]] std::string mode_text(const Say& say) const;
    [[nodiscard]] std::string max_text(const Wish& wish) const;
    [[nodiscard]] bool is_silent(const Wish& finding) const;
    void observe(Wish wish, const Say& say);
    bool may_be_known_soon(const ObjectKey& object, policy::Unknown unknown);
    [[nodiscard]] bool just_failed(const ObjectKey& object) const;
    std::optional<std::string> refusal_to_put_back(const ObjectKey& object, std::uint64_t found);
    [[nodiscard]] bool too_soon(const ObjectKey& key, const Wish& wish) const;
    [[nodiscard]] bool is_written(const ObjectKey& key) const;
    bool fit_trials(Wish& wish);
    std::size_t changes_of(const ObjectKey& key);
    bool fit_bounds(Wish& wish);
    [[nodiscard]] std::vector<Tenant> payers_of(const Wish& wish) const;
    [[nodiscard]] Held after(const Wish& wish) const;
    // What an object may be charged with at most.
    struct Room {
        std::uint64_t bytes = 0;
        std::string of; // "memoryBudget", "tenantShare of default/web-1"
    };
    // `trial`: that the raise belongs to.
    [[nodiscard]] Room room_for(const ObjectKey& object, const std::vector<Tenant>& payers,
                                const TrialKey& trial) const;
    [[nodiscard]] std::uint64_t left_of_budget(const ObjectKey& object) const;
    [[nodiscard]] std::uint64_t within_room(Wish wish, const Room& room, std::uint64_t Cost::* bytes) const;
    bool hold_to(Wish& wish, std::uint64_t most, const std::string& refusal, std::string_view kind);
    bool fit_shares(Wish& wish);
    bool fit_budget(Wish& wish);
    void write(const ObjectKey& key, Wish wish);
    void say(Decision::Act act, Wish finding, std::string_view kind);
    bool take_room_for(Wish& finding, const NetnsId& netns);
    void note(Decision::Act act, Wish finding, std::string_view kind);
    void lower_lesser(Decision::Act act, const ObjectKey& object, std::uint64_t value);
    void lower(Decision::Act act, const ObjectKey& object, std::uint64_t value, const std::string& why,
               std::vector<Evidence> evidence);

    const policy::Policy& policy_;
    State& state_;
    const Snapshot& snapshot_;
    MonoTime now_;
    Grants grants_;
    Readings readings_;
    std::map<ObjectKey, TrialKey> on_trial_; // that each was part of last: it may have left that since
    std::vector<Decision> decisions_;
};

} // namespace bpftune::controller

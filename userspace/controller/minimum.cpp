// SPDX-License-Identifier: Apache-2.0
#include "controller/minimum.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

std::string text_of(const Reading& reading, std::uint64_t value) {
    return tunables::text_of(reading.object.tunable, value);
}

std::string_view name_of(const Reading& reading) { return tunables::row(reading.object.tunable).name; }

// Looked for once: there are many readings.
const std::vector<const tunables::Tunable*>& binding_followers() {
    static const std::vector<const tunables::Tunable*> rows = [] {
        std::vector<const tunables::Tunable*> found;
        for (const tunables::Tunable& row : tunables::catalog())
            if (row.binds_with_leader) found.push_back(&row);
        return found;
    }();
    return rows;
}

// One pass. What follows another comes after it in the order of the readings.
class Minimum {
public:
    explicit Minimum(Gate& gate) : gate_(gate) {}

    void raise(const Reading& reading) {
        if (reading.is_part || !reading.value || !reading.ceiling) return;
        Target target{.to = *reading.value};
        ask(reading, target);
        follow(reading, target);
        if (const Reading* follower = follower_that_binds(reading)) pull(reading, *follower, target);
        if (target.to <= *reading.value) return;
        say_what_stays(reading, target);
        const std::uint64_t to = gate_.raise(wish_of(reading, target));
        if (to > *reading.value) raised_[reading.object] = to;
    }

private:
    struct Target {
        std::uint64_t to = 0;
        std::string why;
        std::optional<ObjectKey> with; // whose trial it is part of
    };

    // What the policy asks of it by itself, as far as the kernel lets it through.
    [[nodiscard]] std::optional<std::uint64_t> asked_of(const Reading& reading) const {
        if (!reading.value || !reading.ceiling) return std::nullopt;
        if (!gate_.policy().of(reading.object.tunable).min) return std::nullopt; // entries of pods have none
        const auto min = gate_.bounds_of(reading.object).min;
        if (!min || *reading.value >= *min || tunables::means_no_limit(reading.object.tunable, *reading.value))
            return std::nullopt;
        if (!tunables::row(reading.object.tunable).words.empty() && !reading.takes_word(*min)) return std::nullopt;
        return std::min(*min, std::max(*reading.ceiling, raised_ceiling(reading)));
    }

    // What it is never more than may have been raised a moment ago.
    [[nodiscard]] std::uint64_t raised_ceiling(const Reading& reading) const {
        const auto& at_most = tunables::row(reading.object.tunable).at_most;
        const auto raised = at_most ? raised_.find({*at_most, reading.object.netns}) : raised_.end();
        return raised != raised_.end() ? raised->second : 0;
    }

    // The proportion is that of what they were before we raised any: it does not drift where one of them fails.
    [[nodiscard]] std::uint64_t original_of(const Reading& reading) const {
        const Held* held = gate_.held(reading.object);
        return held != nullptr ? held->original : reading.value.value_or(0);
    }

    [[nodiscard]] const Reading* leader_of(const Reading& reading) const {
        const auto leader = Gate::leader_of(reading.object);
        const Reading* found = leader ? gate_.readings().find(*leader) : nullptr;
        return found != nullptr && found->value ? found : nullptr;
    }

    // nullptr: nothing binds beside it.
    [[nodiscard]] const Reading* follower_that_binds(const Reading& leader) const {
        for (const tunables::Tunable* row : binding_followers())
            if (row->follows == leader.object.tunable) return gate_.readings().find({row->id, leader.object.netns});
        return nullptr;
    }

    [[nodiscard]] std::uint64_t value_by_now(const Reading& reading) const {
        const auto raised = raised_.find(reading.object);
        return raised != raised_.end() ? raised->second : reading.value.value_or(0);
    }

    void ask(const Reading& reading, Target& target) const {
        const auto asked = asked_of(reading);
        if (!asked || *asked <= target.to) return;
        target.to = *asked;
        const auto min = gate_.bounds_of(reading.object).min;
        target.why =
            fmt::format("{} is below the policy's min, {}", text_of(reading, *reading.value), text_of(reading, *min));
    }

    void follow(const Reading& reading, Target& target) const {
        const Reading* leader = leader_of(reading);
        const std::uint64_t original = original_of(reading);
        if (leader == nullptr || !raised_.contains(leader->object) || original == 0) return;
        const TunableId tunable = reading.object.tunable;
        const std::uint64_t granule = tunables::row(tunable).granule;
        const std::uint64_t leading = raised_.at(leader->object);
        const std::uint64_t to = tunables::following(tunable, leading, original_of(*leader), original);
        const std::uint64_t rounded = (to + granule - 1) / granule * granule;
        if (rounded <= target.to) return;
        target.to = rounded;
        target.why = fmt::format("{} goes to {}, for the policy's min: this one follows it", name_of(*leader),
                                 text_of(*leader, leading));
        target.with = leader->object;
    }

    void pull(const Reading& leader, const Reading& follower, Target& target) const {
        const auto asked = asked_of(follower);
        const bool is_raised = gate_.mode_of(follower.object) == policy::Mode::automatic &&
                               !gate_.state().yielded.contains(follower.object);
        if (!asked || !is_raised || original_of(leader) == 0 || original_of(follower) == 0) return;
        const std::uint64_t to = tunables::in_proportion(original_of(leader), *asked, original_of(follower));
        if (to <= target.to) return;
        target.to = to;
        target.why = fmt::format("{} goes to {}, the policy's min: raised alone it would leave the end to this one",
                                 name_of(follower), text_of(follower, *asked));
    }

    // What the policy keeps where it is: of what is not even tried nobody else would say it.
    void say_what_stays(const Reading& reading, Target& target) const {
        const ObjectKey& object = reading.object;
        for (const tunables::Tunable& row : tunables::catalog())
            if (row.follows == object.tunable && gate_.mode_of({row.id, object.netns}) == policy::Mode::observe)
                target.why += fmt::format("; {} does not follow: its mode is observe", row.name);
        const Reading* leader = leader_of(reading);
        if (leader == nullptr || !tunables::row(object.tunable).binds_with_leader || original_of(reading) == 0) return;
        const std::uint64_t with_it = tunables::in_proportion(original_of(*leader), target.to, original_of(reading));
        if (value_by_now(*leader) >= with_it) return;
        target.why += fmt::format("; {} stays at {}, where {} would keep the proportion: it is the one that binds",
                                  name_of(*leader), text_of(*leader, value_by_now(*leader)), text_of(*leader, with_it));
    }

    [[nodiscard]] Wish wish_of(const Reading& reading, const Target& target) const {
        const bool is_used_up = tunables::row(reading.object.tunable).in_use != tunables::InUse::nothing;
        return {
            .tunable = reading.object.tunable,
            .scope = reading.scope(),
            .from = *reading.value,
            .to = target.to,
            .why = target.why,
            // The policy's word is all that is known. What nothing is in use of by itself is charged as it is used.
            .expected = is_used_up ? std::vector{target.to} : std::vector<std::uint64_t>{},
            .reason = {.trial = {.object = target.with.value_or(reading.object), .minimum = true},
                       .cause = Cause::minimum},
            .demand = reading.object,
        };
    }

    Gate& gate_;
    std::map<ObjectKey, std::uint64_t> raised_; // in this pass
};

} // namespace

void minimum_rule(Gate& gate) {
    const auto has_min = [](const policy::TunablePolicy& each) { return each.min.has_value(); };
    if (std::ranges::none_of(gate.policy().tunables, has_min)) return; // entries of pods have none
    Minimum minimum(gate);
    for (const Reading& reading : gate.readings().in_order()) minimum.raise(reading);
}

} // namespace bpftune::controller

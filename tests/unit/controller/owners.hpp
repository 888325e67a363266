// SPDX-License-Identifier: Apache-2.0
// Whose namespaces and listeners are in truth, how much of it is known by now, and what a policy's entries leave of
// spec for whom: the first whose match is true, by a comparison that is not the controller's.
#pragma once

#include <algorithm>
#include <map>
#include <random>
#include <string>
#include <vector>

#include "policy/policy.hpp"
#include "unit/controller/world.hpp"

namespace bpftune::testing {

class Dice {
public:
    explicit Dice(std::uint64_t seed) : engine_(seed) {}
    std::uint64_t up_to(std::uint64_t most) { return engine_() % (most + 1); }
    std::uint64_t between(std::uint64_t least, std::uint64_t most) { return least + up_to(most - least); }
    bool once_in(std::uint64_t times) { return up_to(times - 1) == 0; }
    template <class T> T one_of(std::initializer_list<T> choices) { return choices.begin()[up_to(choices.size() - 1)]; }

private:
    std::mt19937_64 engine_;
};

inline policy::Mode random_mode(Dice& dice) {
    using policy::Mode;
    return dice.one_of({Mode::observe, Mode::recommend, Mode::automatic, Mode::automatic});
}

inline policy::Match random_match(Dice& dice) {
    policy::Match match;
    if (dice.once_in(4)) {
        (dice.once_in(2) ? match.netns : match.unit) = dice.one_of<const char*>({"x*", "x1", "*"});
        return match;
    }
    if (dice.once_in(2)) match.ns = dice.one_of<const char*>({"shop", "pay*"});
    if (dice.once_in(2)) match.labels = {{"app", dice.one_of<const char*>({"web", "db"})}};
    if (dice.once_in(3)) match.annotations = {{"note", "1"}};
    if (dice.once_in(3)) match.qos = dice.one_of({QosClass::best_effort, QosClass::burstable});
    return match;
}

inline std::vector<policy::PodRule> random_entries(Dice& dice) {
    std::vector<policy::PodRule> entries(dice.between(1, 3));
    for (policy::PodRule& entry : entries) {
        entry.match = random_match(dice);
        entry.mode = random_mode(dice);
        for (const TunableId id : {TunableId::somaxconn, TunableId::listener_backlog, TunableId::conntrack_max}) {
            policy::TunablePolicy& tunable = entry.tunables[static_cast<std::size_t>(id)];
            tunable.max = tunables::row(id).kernel_max;
            tunable.named = dice.once_in(3);
            if (dice.once_in(2)) tunable.max = 2 * dice.between(32, 1 << 12);
            if (dice.once_in(3)) tunable.mode = random_mode(dice);
        }
    }
    return entries;
}

struct Owner {
    enum class Known { nothing, nobody, uid, names, all }; // of a pod; of what is none, all from `uid` on
    bool is_pod = false;
    PodFacts facts;    // of a pod, all of them
    std::string bound; // of what is none, as the next
    std::string unit;
    std::optional<std::uint32_t> user; // who made the user namespace that it is in
    Known known = Known::all;
    bool is_waited_for = false; // on a node with pods: it may be told in a moment that it asks for less

    [[nodiscard]] bool is_shown() const { return known >= Known::uid; }
};

class Owners {
public:
    explicit Owners(bool may_have_pods) : may_have_pods_(may_have_pods) {}

    // Of a namespace that is new, whose it is. The node's own is nobody's.
    void settle(const NetnsId& netns, Dice& dice) {
        const auto [owner, is_new] = namespaces_.try_emplace(netns);
        if (!is_new || netns == World::host) return;
        owner->second = random(dice);
        if (dice.once_in(4)) owner->second.user = dice.one_of<std::uint32_t>({0, 1000, 65534});
    }

    // In the node's own namespace each listener has a holder of its own. In some there another has a hand, process 1,
    // as in some of a pod's namespace another pod.
    void hold(const Listener& listener, Dice& dice) {
        const bool is_of_node = listener.netns == World::host;
        if (is_of_node) holders_.emplace(listener.cookie, random(dice)).first->second.bound.clear();
        if (!dice.once_in(3) || (!is_of_node && !in(listener.netns).is_pod)) return;
        Owner other = random(dice);
        while (other.is_pod == is_of_node) other = random(dice);
        other.bound.clear();
        others_.emplace(listener.cookie, std::move(other));
    }

    // More of one is known, or no more.
    void learn(Dice& dice) {
        learn(holders_, dice);
        learn(others_, dice);
        learn(namespaces_, dice);
    }

    void show(World& world) const {
        world.names.clear();
        world.pods_in.clear();
        world.units_in.clear();
        world.unknown_owners.clear();
        world.users_in.clear();
        world.unread.clear();
        world.pods.clear();
        world.may_have_pods = may_have_pods_;
        for (const auto& [netns, owner] : namespaces_) show_namespace(world, netns, owner);
        for (auto& [cookie, listener] : world.listeners) {
            show_holder(world, listener);
            show_other(world, listener);
        }
        std::ranges::sort(world.pods, {}, [](const PodFacts& facts) { return facts.pod.uid; });
    }

    [[nodiscard]] const Owner& in(const NetnsId& netns) const { return namespaces_.at(netns); }
    [[nodiscard]] const Owner& of(const NetnsId& netns, std::uint64_t cookie) const {
        const auto holder = holders_.find(cookie);
        return holder == holders_.end() ? in(netns) : holder->second;
    }

    // Who has a hand on it beside that, once that is known; nullptr: nobody.
    [[nodiscard]] const Owner* other_of(const NetnsId& netns, std::uint64_t cookie) const {
        const auto other = others_.find(cookie);
        return other != others_.end() && other->second.is_shown() && of(netns, cookie).is_shown() ? &other->second
                                                                                                  : nullptr;
    }

    [[nodiscard]] static policy::TunablePolicy lowered(const policy::Policy& policy, TunableId id, const Owner& owner) {
        policy::TunablePolicy bounds = policy.of(id);
        const auto own = owner.facts.annotations.find("bpftune-k8s.io/mode");
        const bool is_heard = owner.known == Owner::Known::all || owner.is_waited_for;
        if (is_heard && own != owner.facts.annotations.end())
            bounds.mode = std::min(bounds.mode, policy::mode(own->second).value_or(policy::Mode::observe));
        const bool is_made_by_user = owner.user && owner.bound.empty();
        for (const policy::PodRule& entry : policy.pods) {
            if (!is_about(entry.match, owner)) continue;
            if (is_made_by_user && entry.match == policy::Match{}) break;
            const policy::TunablePolicy& more = entry.tunables[static_cast<std::size_t>(id)];
            bounds.mode = std::min(bounds.mode, entry.mode);
            if (more.named) bounds.mode = std::min(bounds.mode, more.mode);
            if (more.named) bounds.max = std::min(bounds.max, more.max);
            return bounds;
        }
        if (is_made_by_user) bounds.mode = policy::Mode::observe;
        return bounds;
    }

private:
    static bool fits(const std::string& pattern, const std::string& name) {
        if (!pattern.ends_with('*')) return pattern == name;
        return name.starts_with(pattern.substr(0, pattern.size() - 1));
    }

    static bool is_about(const policy::Match& match, const Owner& owner) {
        const auto has = [](const policy::Labels& wanted, const policy::Labels& found) {
            return std::ranges::includes(found, wanted);
        };
        const bool asks_pod = match.ns || match.qos || !match.labels.empty() || !match.annotations.empty();
        const bool asks_other = match.netns || match.unit;
        if ((asks_pod && !owner.is_pod) || (asks_other && owner.is_pod)) return false;
        if (match.ns && !fits(*match.ns, owner.facts.pod.ns)) return false;
        if (match.qos && match.qos != owner.facts.qos) return false;
        if (match.netns && (owner.bound.empty() || !fits(*match.netns, owner.bound))) return false;
        if (match.unit && (owner.unit.empty() || !fits(*match.unit, owner.unit))) return false;
        return has(match.labels, owner.facts.labels) && has(match.annotations, owner.facts.annotations);
    }

    Owner random(Dice& dice) {
        Owner owner{.is_pod = dice.once_in(2)};
        owner.known = random_knowledge(dice);
        owner.is_waited_for = is_waited_for(owner, dice);
        if (!owner.is_pod) {
            if (dice.once_in(2)) owner.bound = dice.one_of<const char*>({"x1", "x2", "y"});
            if (dice.once_in(2)) owner.unit = dice.one_of<const char*>({"x1", "x2", "y"});
            return owner;
        }
        const std::string name = "pod-" + std::to_string(++pods_);
        owner.facts = {.pod = {.ns = dice.one_of<const char*>({"shop", "payments"}), .name = name, .uid = name},
                       .source = PodSource::runtime,
                       .qos = dice.one_of({QosClass::best_effort, QosClass::burstable, QosClass::guaranteed})};
        if (dice.once_in(2)) owner.facts.labels = {{"app", dice.one_of<const char*>({"web", "db"})}, {"tier", "1"}};
        if (dice.once_in(2)) owner.facts.annotations = {{"note", "1"}};
        if (dice.once_in(4))
            owner.facts.annotations["bpftune-k8s.io/mode"] = dice.one_of<const char*>({"observe", "recommend", "odd"});
        return owner;
    }

    static Owner::Known random_knowledge(Dice& dice) {
        if (dice.once_in(2)) return Owner::Known::all;
        return static_cast<Owner::Known>(dice.up_to(3));
    }

    // Whoever is not shown is, for so long.
    [[nodiscard]] bool is_waited_for(const Owner& owner, Dice& dice) const {
        return may_have_pods_ && owner.known != Owner::Known::all && (!owner.is_shown() || dice.once_in(2));
    }

    template <class Map> void learn(Map& owners, Dice& dice) {
        for (auto& [whose, owner] : owners) {
            if (!dice.once_in(3)) continue;
            owner.known = random_knowledge(dice);
            owner.is_waited_for = is_waited_for(owner, dice);
        }
    }

    // As far as it is known.
    static PodFacts shown(const Owner& owner) {
        PodFacts facts = owner.facts;
        if (owner.known == Owner::Known::all) return facts;
        facts.labels.clear();
        facts.annotations.clear();
        facts.source = owner.known == Owner::Known::names ? PodSource::logs : PodSource::cgroup;
        if (owner.known == Owner::Known::uid) facts.pod = {.name = facts.pod.uid, .uid = facts.pod.uid};
        return facts;
    }

    static void show_namespace(World& world, const NetnsId& netns, const Owner& owner) {
        if (owner.known == Owner::Known::nothing) {
            if (!owner.user) return;
            world.unread.insert(netns);
            world.names[netns] = {};
            return;
        }
        if (owner.user) world.users_in[netns] = *owner.user;
        world.names[netns] = owner.bound.empty() ? std::vector<std::string>{} : std::vector{owner.bound};
        if (owner.known == Owner::Known::nobody || owner.is_waited_for) world.unknown_owners.insert(netns);
        if (!owner.is_shown()) return;
        if (!owner.is_pod) {
            world.units_in[netns] = owner.unit;
            return;
        }
        world.pods.push_back(shown(owner));
        world.pods_in[netns] = world.pods.back().pod;
    }

    void show_holder(World& world, Listener& listener) const {
        const Owner& holder = of(listener.netns, listener.cookie);
        listener.pid = holder.is_shown() ? 712 : 0;
        listener.is_owner_unknown = holder.is_waited_for;
        listener.pod.reset();
        listener.unit.clear();
        if (!holder.is_shown()) return;
        if (!holder.is_pod) {
            listener.unit = holder.unit;
            return;
        }
        listener.pod = shown(holder).pod;
        if (listener.netns == World::host) world.pods.push_back(shown(holder));
    }

    void show_other(World& world, Listener& listener) const {
        listener.other.reset();
        const Owner* other = other_of(listener.netns, listener.cookie);
        if (other == nullptr) return;
        listener.is_owner_unknown |= other->is_waited_for;
        listener.other = OtherHolder{.pod = {}, .unit = other->unit};
        if (!other->is_pod) return;
        listener.other->pod = shown(*other).pod;
        world.pods.push_back(shown(*other));
    }

    std::map<NetnsId, Owner> namespaces_;
    std::map<std::uint64_t, Owner> holders_; // of listeners of the node's own namespace, by cookie
    std::map<std::uint64_t, Owner> others_;  // of listeners, by cookie
    int pods_ = 0;
    bool may_have_pods_;
};

} // namespace bpftune::testing

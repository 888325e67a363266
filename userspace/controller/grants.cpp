// SPDX-License-Identifier: Apache-2.0
#include "controller/grants.hpp"

#include <algorithm>
#include <set>
#include <string>

#include "core/words.hpp"

namespace bpftune::controller {
namespace {

using policy::Grant;

bool says_something(const PodFacts& facts) { return facts.annotations.contains(std::string(policy::mode_annotation)); }

bool may_be_made_by_user(const NetnsNames& names) { return names.is_user_ns_unknown || names.is_made_by_user(); }

bool says_nothing_more(const policy::Policy& policy, const Snapshot& snapshot) {
    return policy.pods.empty() && !snapshot.may_have_pods && std::ranges::none_of(snapshot.pods, says_something) &&
           std::ranges::none_of(snapshot.netns_names, may_be_made_by_user);
}

bool is_same_pod(const Pod& a, const Pod& b) {
    return a.uid.empty() || b.uid.empty() ? a.ns == b.ns && a.name == b.name : a.uid == b.uid;
}

} // namespace

Grants::Grants(const policy::Policy& policy, const Snapshot& snapshot)
    : policy_(policy), snapshot_(snapshot), is_spec_alone_(says_nothing_more(policy, snapshot)) {
    if (is_spec_alone_) return;
    const bool may_ask = snapshot.may_have_pods;
    unknown_ = policy.grant_for(
        {.is_owner_unknown = true, .is_name_unknown = true, .is_unit_unknown = true, .may_ask = may_ask});
    pods_.reserve(snapshot.pods.size());
    for (const PodFacts& facts : snapshot.pods) pods_.push_back(policy.grant_for({.pod = &facts.pod, .facts = &facts}));
    namespaces_.reserve(snapshot.netns_names.size());
    for (const NetnsNames& names : snapshot.netns_names)
        namespaces_.push_back({.names = &names, .grant = of_names(names)});
    add_holders_of_host(snapshot);
    add_others_of(snapshot.listeners);
    add_others_of(snapshot.udp);
}

void Grants::add_holders_of_host(const Snapshot& snapshot) {
    const Namespace* host = find(snapshot.host);
    if (host == nullptr) return;
    of_nobody_ = policy_.grant_for({.bound = host->names->bound,
                                    .is_owner_unknown = true,
                                    .is_name_unknown = host->names->is_name_unknown,
                                    .is_unit_unknown = true,
                                    .may_ask = snapshot.may_have_pods});
    add_units_of(snapshot.listeners, *host);
    add_units_of(snapshot.udp, *host);
}

template <class Socket> void Grants::add_units_of(const std::vector<Socket>& sockets, const Namespace& host) {
    const auto add = [&](std::string_view name) {
        if (name.empty()) return;
        const auto [unit, is_new] = units_.try_emplace(name);
        if (is_new) unit->second = of_unit(&host, name, true);
    };
    for (const Socket& socket : sockets) {
        if (socket.netns != host.names->netns) continue;
        if (!socket.pod) add(socket.unit);
        if (socket.other && !socket.other->pod) add(socket.other->unit);
    }
}

template <class Socket> void Grants::add_others_of(const std::vector<Socket>& sockets) {
    for (const Socket& socket : sockets) {
        if (!socket.other) continue;
        const auto& [pod, unit] = *socket.other;
        const bool is_known = !socket.is_owner_unknown;
        const bool is_of_netns = !pod && socket.netns != snapshot_.host; // else what is known of its holders counts
        const Holder holder{.pod = &pod, .unit = unit, .is_known = is_known, .is_unsure = !is_known};
        others_.insert_or_assign(socket.cookie,
                                 is_of_netns ? of_unit(find(socket.netns), unit, is_known) : of(socket.netns, holder));
    }
}

Grant Grants::of_unit(const Namespace* in, std::string_view unit, bool is_known) const {
    policy::Subject subject{
        .unit = unit, .is_owner_unknown = !is_known, .is_name_unknown = in == nullptr, .is_unit_unknown = !is_known};
    if (in != nullptr) {
        subject.bound = in->names->bound;
        subject.is_name_unknown = in->names->is_name_unknown;
    }
    return policy_.grant_for(subject);
}

const Grants::Namespace* Grants::find(const NetnsId& netns) const {
    const auto found =
        std::ranges::lower_bound(namespaces_, netns, {}, [](const Namespace& each) { return each.names->netns; });
    return found == namespaces_.end() || found->names->netns != netns ? nullptr : &*found;
}

// `is_unsure`: more may be known of it in a moment.
Grant Grants::of_pod(const Pod& pod, bool is_unsure) const {
    const PodFacts* facts = pod.uid.empty() ? nullptr : snapshot_.facts_of(pod);
    if (facts == nullptr || is_unsure) return policy_.grant_for({.pod = &pod, .facts = facts, .may_ask = is_unsure});
    return pods_[static_cast<std::size_t>(facts - snapshot_.pods.data())];
}

Grant Grants::of_names(const NetnsNames& names) const {
    const bool is_unsure = snapshot_.may_have_pods && names.is_owner_unknown;
    if (names.pod && !may_be_made_by_user(names)) return of_pod(*names.pod, is_unsure);
    policy::Subject subject{.may_ask = is_unsure, .is_user_ns_unknown = names.is_user_ns_unknown};
    if (names.is_made_by_user()) subject.user_ns_owner = names.user_ns_owner;
    if (names.pod) {
        subject.pod = &*names.pod;
        subject.facts = names.pod->uid.empty() ? nullptr : snapshot_.facts_of(*names.pod);
        return policy_.grant_for(subject);
    }
    subject.bound = names.bound;
    subject.unit = names.unit;
    subject.is_owner_unknown = names.is_owner_unknown || names.is_user_ns_unknown;
    subject.is_name_unknown = names.is_name_unknown;
    subject.is_unit_unknown = names.is_user_ns_unknown;
    return policy_.grant_for(subject);
}

const Grant& Grants::of(const NetnsId& netns) const {
    if (is_spec_alone_) return all_;
    const Namespace* known = find(netns);
    return known != nullptr ? known->grant : unknown_;
}

template <class Socket> Grant Grants::of_both(const Socket& socket) const {
    Grant grant = of(socket.netns, holder_of(socket));
    const auto other = others_.find(socket.cookie);
    if (socket.other && other != others_.end()) grant.other = &other->second;
    return grant;
}

Grant Grants::of(const Listener& listener) const { return of_both(listener); }

Grant Grants::of(const UdpSocket& socket) const { return of_both(socket); }

Grant Grants::of(const NetnsId& netns, const std::optional<Pod>& pod) const { return of(netns, Holder{.pod = &pod}); }

Grant Grants::of(const NetnsId& netns, const Holder& holder) const {
    if (is_spec_alone_) return all_;
    const Namespace* known = find(netns);
    if (known != nullptr && may_be_made_by_user(*known->names)) return known->grant; // whoever holds it
    if (holder.pod->has_value()) {
        const bool is_its_own = known != nullptr && known->names->pod && is_same_pod(*known->names->pod, **holder.pod);
        return is_its_own ? known->grant : of_pod(**holder.pod, holder.is_unsure && snapshot_.may_have_pods);
    }
    if (known == nullptr) return unknown_;
    if (netns != snapshot_.host) return known->grant;
    if (!holder.is_known) return of_nobody_;
    const auto unit = units_.find(holder.unit);
    return unit == units_.end() ? known->grant : unit->second;
}

std::string Grants::name_of(const Namespace& of) const {
    const NetnsNames& names = *of.names;
    if (names.pod) return netns_text(names.netns, names.pod);
    if (!names.unit.empty()) return names.unit;
    if (!names.bound.empty()) return names.bound.front();
    return names.netns == snapshot_.host ? "the node" : netns_text(names.netns, std::nullopt);
}

void Grants::restrain(const Grant& grant, const std::string& name, std::vector<Restraint>& out) const {
    constexpr std::size_t most_names = 3;
    const policy::PodRule* rule = grant.told();
    const bool is_bounded = rule != nullptr && std::ranges::any_of(rule->tunables, &policy::TunablePolicy::named) &&
                            policy_.mode != policy::Mode::observe;
    const policy::Mode mode = std::min(policy_.mode, grant.mode());
    if (mode == policy_.mode && !is_bounded) return;
    // Of users there may be many: one restraint for all.
    const std::string by =
        grant.unnamed ? "left alone: in user namespaces that no entry of pods names" : policy::held_by(policy_, grant);
    auto found = std::ranges::find(out, by, &Restraint::by);
    if (found == out.end()) found = out.insert(out.end(), {.by = by, .mode = std::string(policy::to_string(mode))});
    if (++found->count <= most_names) found->names.push_back(name);
}

std::vector<Restraint> Grants::restraints() const {
    std::vector<Restraint> out;
    std::set<std::string_view> seen; // UIDs of pods with a namespace of their own
    for (const Namespace& each : namespaces_) {
        const bool is_known = each.names->pod && !each.names->pod->uid.empty();
        if (is_known && !seen.insert(each.names->pod->uid).second) continue;
        restrain(each.grant, name_of(each), out);
    }
    for (std::size_t i = 0; i < pods_.size(); ++i)
        if (const Pod& pod = snapshot_.pods[i].pod; !seen.contains(pod.uid))
            restrain(pods_[i], netns_text({}, pod), out);
    for (const auto& [unit, grant] : units_) restrain(grant, std::string(unit), out);
    return out;
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "kube/pods.hpp"

#include <algorithm>
#include <tuple>
#include <utility>

namespace bpftune::kube {
namespace {

// A runtime lists a sandbox some time after its first process was started.
constexpr Nanoseconds patience = std::chrono::seconds(3);

// A sandbox may be listed before its namespace is first seen. Who was listed so long before that is another.
constexpr Nanoseconds listed_before_netns = std::chrono::seconds(10);

template <class Value> const Value* by_id(const std::vector<Value>& values, std::string_view id) {
    const auto id_of = [](const Value& value) -> std::string_view { return value.id; };
    const auto found = std::ranges::lower_bound(values, id, {}, id_of);
    return found == values.end() || found->id != id ? nullptr : &*found;
}

bool is_newer(const Sandbox& a, const Sandbox& b) {
    return std::tuple(a.ready, a.created_ns) > std::tuple(b.ready, b.created_ns);
}

} // namespace

void Pods::take(std::shared_ptr<const Listing> listing, bool is_awaited) {
    is_awaited_ = is_awaited;
    if (listing == listing_) return;
    listing_ = std::move(listing);
    ++listings_;
    sandboxes_.clear();
    if (!listing_) return;
    for (const Sandbox& sandbox : listing_->sandboxes) {
        const Sandbox*& last = sandboxes_[sandbox.uid];
        if (last == nullptr || is_newer(sandbox, *last)) last = &sandbox;
    }
}

// Of a sandbox that is made anew for the same pod the time is its own.
void Pods::note_listed(MonoTime now) {
    if (std::exchange(noted_, listings_) == listings_ || !listing_) return;
    std::unordered_map<std::string, MonoTime> listed;
    for (const Sandbox& sandbox : listing_->sandboxes) {
        if (!sandbox.ready) continue;
        const auto before = listed_since_.find(sandbox.id);
        listed.emplace(sandbox.id, before != listed_since_.end() ? before->second : now);
    }
    listed_since_ = std::move(listed);
}

MonoTime Pods::known_since(const Known& pod) const {
    const auto sandbox = sandboxes_.find(pod.facts.pod.uid);
    if (sandbox == sandboxes_.end()) return pod.since;
    const auto listed = listed_since_.find(sandbox->second->id);
    return listed == listed_since_.end() ? pod.since : std::min(pod.since, listed->second + listed_before_netns);
}

Pods::Found Pods::find(const std::string& uid, std::optional<QosClass> qos, Now now) {
    has_seen_any_ = true;
    const auto [entry, is_new] = pods_.try_emplace(uid);
    Known& pod = entry->second;
    if (is_new) {
        pod.facts.pod = {.ns = "", .name = uid, .container = "", .uid = uid};
        pod.since = now.mono;
    }
    if (qos) pod.facts.qos = qos;
    pod.used = now.mono;
    look_up(pod, now);
    const bool is_named = pod.facts.source == PodSource::runtime;
    const bool may_come = !is_named && (is_awaited_ || (pod.missed && now.mono - *pod.missed < patience));
    if (may_come) ask();
    return {.facts = &pod.facts, .is_waited_for = may_come, .since = known_since(pod)};
}

void Pods::look_up(Known& pod, Now now) {
    PodFacts& facts = pod.facts;
    if (listing_ && std::exchange(pod.listing, listings_) != listings_) {
        if (const auto found = sandboxes_.find(facts.pod.uid); found != sandboxes_.end()) {
            const Sandbox& sandbox = *found->second;
            facts.pod.ns = sandbox.ns;
            facts.pod.name = sandbox.name;
            facts.source = PodSource::runtime;
            facts.labels = sandbox.labels;
            facts.annotations = sandbox.annotations;
            facts.is_incomplete = sandbox.is_incomplete;
            pod.missed.reset();
        } else if (facts.source != PodSource::runtime && !pod.missed) {
            pod.missed = now.mono;
        }
    }
    if (facts.source != PodSource::cgroup) return;
    if (const PodName* name = logs_.find(facts.pod.uid, now)) {
        facts.pod.ns = name->ns;
        facts.pod.name = name->name;
        facts.source = PodSource::logs;
    }
}

const std::string* Pods::pod_of_container(std::string_view id) const {
    if (!listing_) return nullptr;
    const Container* container = by_id(listing_->containers, id);
    const Sandbox* sandbox = by_id(listing_->sandboxes, container != nullptr ? container->sandbox_id : id);
    return sandbox != nullptr ? &sandbox->uid : nullptr;
}

std::optional<std::string> Pods::container_name(std::string_view id) const {
    if (!listing_) return std::nullopt;
    if (const Container* container = by_id(listing_->containers, id)) return container->name;
    if (by_id(listing_->sandboxes, id) != nullptr) return std::string();
    return std::nullopt;
}

void Pods::forget_unused(MonoTime since) {
    std::erase_if(pods_, [&](const auto& entry) { return entry.second.used < since; });
}

} // namespace bpftune::kube

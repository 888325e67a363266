// SPDX-License-Identifier: Apache-2.0
// Whom an entry of `pods` is about. What is not known of a pod is no reason to take it for another one: then it can't
// be told whether the entry matches.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "core/snapshot.hpp"

namespace bpftune::policy {

using Labels = std::map<std::string, std::string>;

// All that it names has to be so; what it does not name may be anything.
struct Match {
    std::optional<std::string> ns; // fnmatch(3) of the pod's namespace, as the next of their names
    Labels labels;                 // each with this very value, as the next
    Labels annotations;
    std::optional<QosClass> qos;
    std::optional<std::string> netns; // of a name that the network namespace is bound to; never a pod's
    std::optional<std::string> unit;  // of the systemd unit; never a pod's

    bool operator==(const Match&) const = default;

    [[nodiscard]] bool is_all() const { return *this == Match{}; }
    [[nodiscard]] bool is_of_pods() const { return ns || !labels.empty() || !annotations.empty() || qos; }
    [[nodiscard]] bool is_of_others() const { return netns || unit; }
    // Whether whatever `later` matches is matched by this one, as far as their texts tell.
    [[nodiscard]] bool covers(const Match& later) const;
};

// Who is asked about: a network namespace, or a process in one.
struct Subject {
    const Pod* pod = nullptr; // nullptr: none
    const PodFacts* facts = nullptr;
    std::span<const std::string> bound; // names of the network namespace
    std::string_view unit;
    bool is_owner_unknown = false; // whether it is a pod's, and which one's
    bool is_name_unknown = false;  // of its network namespace
    bool is_unit_unknown = false;  // which unit's it is if it is no pod's
    bool may_ask = false;          // it may be a pod that asks for less, which is not known yet
    // Of a network namespace that is in no user namespace of the node's, and no pod's sandbox: who made that. Only an
    // entry that names it grants anything.
    std::optional<std::uint32_t> user_ns_owner;
    bool is_user_ns_unknown = false; // whether it is such a one
};

// What it would take to tell whether an entry matches.
enum class Unknown {
    nothing,
    owner,
    pod_namespace,
    pod,    // nothing of it but how it is called
    labels, // and annotations
    more_labels,
    annotation, // ours, which is about all entries
    qos,
    netns, // how its network namespace is called
    unit,
    user_ns, // whether it is in a user namespace that is not the node's
};

struct Matched {
    bool may_be = false; // false: it does not, for certain
    Unknown unknown = Unknown::nothing;

    [[nodiscard]] bool is_certain() const { return may_be && unknown == Unknown::nothing; }
};

Matched matches(const Match& match, const Subject& subject);

std::string_view to_string(Unknown unknown); // "its pod's labels are not known: no runtime tells them"

} // namespace bpftune::policy

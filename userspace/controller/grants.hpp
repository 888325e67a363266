// SPDX-License-Identifier: Apache-2.0
// What the policy's entries leave of spec, for whom in a snapshot: each pod, network namespace and unit is matched
// once.
#pragma once

#include <map>
#include <optional>
#include <string_view>
#include <vector>

#include "core/snapshot.hpp"
#include "policy/policy.hpp"

namespace bpftune::controller {

// It points into policy and snapshot.
class Grants {
public:
    Grants(const policy::Policy& policy, const Snapshot& snapshot);

    // No entry, and no pod that says anything of itself: everybody has all of spec.
    [[nodiscard]] bool is_spec_alone() const { return is_spec_alone_; }

    // What lives in the namespace. Of one of which nothing is known no entry can be told.
    [[nodiscard]] const policy::Grant& of(const NetnsId& netns) const;

    // A socket follows whoever holds it: in the node's own namespace a pod with hostNetwork or a unit, elsewhere its
    // namespace's pod, mostly. Where another has a hand on it too, the lower of both grants counts. It points into this
    // object.
    [[nodiscard]] policy::Grant of(const Listener& listener) const;
    [[nodiscard]] policy::Grant of(const UdpSocket& socket) const;
    // One that is not in the snapshot. `pod`: whose it was.
    [[nodiscard]] policy::Grant of(const NetnsId& netns, const std::optional<Pod>& pod) const;

    // Whoever has less than spec, by what holds it back.
    [[nodiscard]] std::vector<Restraint> restraints() const;

private:
    struct Holder {
        const std::optional<Pod>* pod = nullptr;
        std::string_view unit;
        bool is_known = false;  // some process that holds it was found
        bool is_unsure = false; // more may be known of it in a moment
    };
    struct Namespace {
        const NetnsNames* names = nullptr;
        policy::Grant grant;
    };

    template <class Socket> static Holder holder_of(const Socket& socket) {
        const bool is_known = socket.pid != 0 && !socket.is_owner_unknown;
        return {.pod = &socket.pod, .unit = socket.unit, .is_known = is_known, .is_unsure = socket.is_owner_unknown};
    }
    template <class Socket> void add_units_of(const std::vector<Socket>& sockets, const Namespace& host);
    template <class Socket> void add_others_of(const std::vector<Socket>& sockets);
    // What is no pod's. `in`: nullptr: the namespace is not known; `is_known`: whether the unit is.
    [[nodiscard]] policy::Grant of_unit(const Namespace* in, std::string_view unit, bool is_known) const;
    template <class Socket> [[nodiscard]] policy::Grant of_both(const Socket& socket) const;
    void add_holders_of_host(const Snapshot& snapshot);
    [[nodiscard]] policy::Grant of_pod(const Pod& pod, bool is_unsure) const;
    [[nodiscard]] policy::Grant of_names(const NetnsNames& names) const;
    [[nodiscard]] policy::Grant of(const NetnsId& netns, const Holder& holder) const;
    [[nodiscard]] const Namespace* find(const NetnsId& netns) const;
    [[nodiscard]] std::string name_of(const Namespace& of) const;
    void restrain(const policy::Grant& grant, const std::string& name, std::vector<Restraint>& out) const;

    const policy::Policy& policy_;
    const Snapshot& snapshot_;
    bool is_spec_alone_;
    policy::Grant all_;                 // of spec
    policy::Grant unknown_;             // where nothing is known
    std::vector<policy::Grant> pods_;   // one for each of the snapshot's, in its order
    std::vector<Namespace> namespaces_; // in the order of NetnsId
    // In the node's own namespace, of what is no pod's:
    std::map<std::string_view, policy::Grant> units_;
    policy::Grant of_nobody_;                       // no process that holds it was found
    std::map<std::uint64_t, policy::Grant> others_; // of who has a hand on a socket beside its holder, by its cookie
};

} // namespace bpftune::controller

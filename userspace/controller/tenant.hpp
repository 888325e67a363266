// SPDX-License-Identifier: Apache-2.0
// Whose raises are summed up for the policy's tenantShare.
//
// A pod is one tenant. So is a systemd unit, of its sockets in the node's own network namespace and of all network
// namespaces that are made within it in user namespaces of their own: whoever has many user ids to make these by
// (subuid) is one all the same. Sockets of the node's whose holder is not known are one together. Any other network
// namespace is a tenant by itself.
//
// The node's own limits are nobody's, but one that is raised for the demand of tenants alone is theirs who ask for it
// (Wish::askers): of several the one's that asks for most, until it is raised again, or the service restarts.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"

namespace bpftune::controller {

class Gate;
struct Reading;

// Whether it is one of the node's own limits, of which there is one for all.
bool is_of_node(TunableId tunable);

// `scope`: whose it is where the snapshot does not say.
Tenant tenant_of(const Gate& gate, const ObjectKey& object, const Scope& scope);

// Whose demand that of a network namespace is. The node's own is the node's, pods with hostNetwork included.
// `otherwise`: whose it is where the snapshot does not say.
Tenant tenant_in(const Snapshot& snapshot, const NetnsId& netns, const std::optional<Pod>& otherwise);

// What the window adds to a trial of the object: of one for a tenant, by its account (TrialKey::tenant), what the parts
// of it that are the tenant's add, where it has any (Reading::has_parts).
Measured measured_for(const Gate& gate, const Reading& reading, const std::string& account);

// Whose demand asks for more of one of the node's limits, each of them once.
class Askers {
public:
    // As many as matter: each brings a share.
    static constexpr std::size_t most = 16;

    void add(const Tenant& tenant, std::uint64_t wanted); // in any unit, the same for all
    void add(const Askers& others);

    // Those who want most first, `most` of them; nobody where the node itself asks as well.
    [[nodiscard]] std::vector<Tenant> alone() const;

private:
    struct Asker {
        Tenant tenant;
        std::uint64_t wanted = 0;
    };
    std::map<std::string, Asker> by_account_;
    bool is_of_node_ = false;
};

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// Whose raises are summed up for the policy's tenantShare.
//
// A pod is one tenant. So is a systemd unit, of its sockets in the node's own network namespace and of all network
// namespaces that are made within it in user namespaces of their own: whoever has many user ids to make these by
// (subuid) is one all the same. Sockets of the node's whose holder is not known are one together. Any other network
// namespace is a tenant by itself. The node's own limits are nobody's.
#pragma once

#include "controller/state.hpp"
#include "core/change.hpp"

namespace bpftune::controller {

class Gate;

// `scope`: whose it is where the snapshot does not say.
Tenant tenant_of(const Gate& gate, const ObjectKey& object, const Scope& scope);

} // namespace bpftune::controller

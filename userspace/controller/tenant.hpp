// SPDX-License-Identifier: Apache-2.0
// Whose raises are summed up for the policy's tenantShare.
//
// A pod is one tenant, as is all that is known to be one unit's in the node's own network namespace. Elsewhere a user
// and a unit are one, however many network namespaces are made for them in user namespaces of their own; any other
// network namespace is a tenant by itself. The node's own limits are nobody's.
#pragma once

#include "controller/state.hpp"
#include "core/change.hpp"

namespace bpftune::controller {

class Gate;

// `scope`: whose it is where the snapshot does not say.
Tenant tenant_of(const Gate& gate, const ObjectKey& object, const Scope& scope);

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
// What the policy leaves one pod, by what the service knows of it.
#pragma once

#include <string_view>

#include "core/result.hpp"
#include "core/snapshot.hpp"
#include "kube/runtime.hpp"
#include "policy/parse.hpp"

namespace bpftune::service {

// `pod`: NAMESPACE/NAME, or its UID. Of several of one name, as a pod that ends and its successor, it is about the one
// that was made last, as `listing` has it, and says which these are. Error: no such pod is known here.
Result<policy::ShownFor> shown_for(const policy::Policy& policy, const Snapshot& snapshot, std::string_view pod,
                                   const kube::Listing* listing);

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// What the policy leaves one pod, by what the service knows of it.
#pragma once

#include <string_view>

#include "core/result.hpp"
#include "core/snapshot.hpp"
#include "policy/parse.hpp"

namespace bpftune::service {

// `pod`: NAMESPACE/NAME, or its UID. Error: no such pod is known here.
Result<policy::ShownFor> shown_for(const policy::Policy& policy, const Snapshot& snapshot, std::string_view pod);

} // namespace bpftune::service

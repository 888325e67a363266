// SPDX-License-Identifier: Apache-2.0
// Capabilities by their numbers in <linux/capability.h>: CAP_SYS_PTRACE, ...
#pragma once

#include <span>

#include "core/result.hpp"

namespace bpftune::sys {

// Whether the calling thread has it in its effective set.
bool has_capability(int capability);

// Gives up all others for good, for the calling thread and what it starts: also from the bounding set, as far as
// CAP_SETPCAP allows, and by no_new_privs. Those of `kept` that it has not are not gained.
Result<> keep_capabilities(std::span<const int> kept);

} // namespace bpftune::sys

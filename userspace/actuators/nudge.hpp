// SPDX-License-Identifier: Apache-2.0
// Running connections take a raised tcp_rmem where they are nudged (bpf/nudge.iter.bpf.c).
#pragma once

#include <cstdint>

#include "core/change.hpp"
#include "core/result.hpp"

namespace bpftune::actuators {

// Runs the BPF iterator of this link in the scope's namespace: an iterator over sockets shows those of the namespace in
// which it is opened. Error code ESTALE: the namespace is gone.
Result<> nudge(const Scope& scope, std::uint32_t link_id);

} // namespace bpftune::actuators

// SPDX-License-Identifier: Apache-2.0
// Network devices of one namespace, by /proc/net/dev and its sysfs.
#pragma once

#include <functional>
#include <vector>

#include "core/result.hpp"
#include "probes/readings.hpp"
#include "sys/visit.hpp"

namespace bpftune::probes {

// Of those that are `wanted` by what they have received: to look at one takes some ten system calls, and a node may
// have hundreds. Loopback is none: whoever sends there chooses the CPU. Nor is one whose name cannot be shown. An
// error: of none is it known whether it is there.
Result<std::vector<DeviceReading>> read_devices(const sys::Visit& visit, const WantsDevice& wanted);

} // namespace bpftune::probes

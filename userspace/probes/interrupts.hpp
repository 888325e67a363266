// SPDX-License-Identifier: Apache-2.0
// Interrupts of network devices, by /proc/interrupts and /proc/irq, which are the node's whoever reads them.
#pragma once

#include <filesystem>
#include <optional>
#include <vector>

#include "core/result.hpp"
#include "probes/readings.hpp"
#include "sys/visit.hpp"

namespace bpftune::probes {

// Of all network devices that are hardware. An error: which there are is not known.
Result<std::vector<InterruptReading>> read_interrupts(const sys::Visit& host, const std::filesystem::path& proc);

// Whether a process of that name runs. nullopt: `proc` does not show the node's.
std::optional<bool> runs_irqbalance(const std::filesystem::path& proc);

} // namespace bpftune::probes

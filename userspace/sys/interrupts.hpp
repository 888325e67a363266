// SPDX-License-Identifier: Apache-2.0
// Interrupts of network devices: whose they are in sysfs, and how often each CPU was given one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// The numbers of those that a device has (MSI), ascending; `device`: its folder class/net/NAME. A virtio device's are
// those of the PCI device that it stands on. None: it has no such, or is no hardware.
std::vector<std::uint32_t> device_interrupts(const Fd& device);

// A line of /proc/interrupts (kernel/irq/proc.c, show_interrupts) that is of a number.
struct InterruptLine {
    std::uint32_t irq = 0;
    std::string name;                                      // of who handles it, raw bytes
    std::vector<std::pair<unsigned, std::uint64_t>> taken; // by each CPU that is online, since boot

    bool operator==(const InterruptLine&) const = default;
};
std::vector<InterruptLine> interrupt_lines(std::string_view text);

} // namespace bpftune::sys

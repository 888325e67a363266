// SPDX-License-Identifier: Apache-2.0
#include "tunables/device_settings.hpp"

#include <algorithm>
#include <array>

namespace bpftune::tunables {

std::span<const DeviceSetting> device_settings() {
    static constexpr std::array rows{
        DeviceSetting{.name = "rps_flow_cnt",
                      .why_not = "it sends a flow to the CPU where its application reads it, and nothing here sees "
                                 "which CPU that is, or what the way to it costs; and it does nothing without rps_cpus "
                                 "and net.core.rps_sock_flow_entries"},
        DeviceSetting{.name = "xps_cpus",
                      .is_cpus = true,
                      .why_not = "it keeps CPUs from waiting for each other at a transmit queue, which the kernel does "
                                 "not count and nothing here sees"},
        DeviceSetting{.name = "smp_affinity", .is_cpus = true, .why_not = {}},
    };
    return rows;
}

const DeviceSetting* find_device_setting(std::string_view name) {
    const auto rows = device_settings();
    const auto found = std::ranges::find(rows, name, &DeviceSetting::name);
    return found == rows.end() ? nullptr : &*found;
}

} // namespace bpftune::tunables

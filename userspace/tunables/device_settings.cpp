// SPDX-License-Identifier: Apache-2.0
#include "tunables/device_settings.hpp"

#include <algorithm>
#include <array>

namespace bpftune::tunables {

std::span<const DeviceSetting> device_settings() {
    static constexpr std::array rows{
        DeviceSetting{.name = "rps_flow_cnt",
                      .why_not = "it sends a flow to the CPU where its application runs, which nothing here measures; "
                                 "and does nothing without rps_cpus and net.core.rps_sock_flow_entries"},
        DeviceSetting{.name = "xps_cpus", .is_cpus = true, .why_not = "nothing here measures queues on the way out"},
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

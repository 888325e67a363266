// SPDX-License-Identifier: Apache-2.0
// Settings of network devices that guides tell to set and that are no sysctls: a policy may expect something of them.
// Their names are the kernel's, of files that each queue or interrupt of a device has.
#pragma once

#include <span>
#include <string_view>

namespace bpftune::tunables {

struct DeviceSetting {
    std::string_view name;
    bool is_cpus = false;     // as Tunable::is_cpus
    std::string_view why_not; // it is not tuned; empty: it is
};

std::span<const DeviceSetting> device_settings();

const DeviceSetting* find_device_setting(std::string_view name); // nullptr: it is none

} // namespace bpftune::tunables

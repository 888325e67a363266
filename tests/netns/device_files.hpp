// SPDX-License-Identifier: Apache-2.0
// What sysfs says of a network device.
#pragma once

#include <algorithm>
#include <string>

#include "netns/actuators/fixtures.hpp"
#include "sys/sysfs.hpp"

namespace bpftune::testing {

// What sysfs says of a device of this namespace, by a mount of the test's own.
inline std::string file_of(const Namespace& netns, const std::string& device, const std::string& file) {
    return netns.inside([&] {
        const auto folder = take(sys::open_device(take(sys::mount_sysfs()), device));
        const std::string text = take(sys::read_below(folder, file));
        return text.substr(0, text.find('\n'));
    });
}

inline std::string cpus_of(const Namespace& netns, const std::string& device = "eth0") {
    const std::string text = file_of(netns, device, "queues/rx-0/rps_cpus");
    return text.substr(std::min(text.find_first_not_of("0,"), text.size() - 1));
}

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// Settings of the node's network devices that are no sysctls.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "core/result.hpp"
#include "tunables/device_settings.hpp"

namespace bpftune::service {

// Those of the network namespace that `root`'s sys shows which stand on another device. There may be thousands that do
// not: of 2,000 veths this takes 4 ms.
std::vector<std::string> hardware_devices(const std::filesystem::path& root);

// What these have, by queue or interrupt: one value where all have the same, else each with its place: "0 (eth0 rx-0),
// 3 (eth0 rx-1)". Error code ENOENT: there is none.
Result<std::string> read_device_setting(const tunables::DeviceSetting& setting, std::span<const std::string> devices,
                                        const std::filesystem::path& root);

} // namespace bpftune::service

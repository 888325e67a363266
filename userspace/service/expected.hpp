// SPDX-License-Identifier: Apache-2.0
// Reads the sysctls that the policy expects, in the network namespace of this process: the node's own, or they are not
// known.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/snapshot.hpp"
#include "policy/policy.hpp"
#include "service/set_by.hpp"

namespace bpftune::service {

std::vector<ExpectedSysctl> read_expected(const policy::Policy& policy, const NetnsId& host,
                                          const std::filesystem::path& root = "/");

// What would have set it at boot: "/etc/sysctl.d/9.conf:1: 0", or that no file does.
std::string set_at_boot(const SetBy& set_by, std::string_view sysctl);

// The names whose writers are of interest, other names of the same values included.
std::vector<std::string> sysctls_of(const policy::Policy& policy);

} // namespace bpftune::service

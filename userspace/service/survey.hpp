// SPDX-License-Identifier: Apache-2.0
// What this kernel and these rights allow, for `doctor`: tunables, capabilities, and who else sets the same values.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace bpftune::service {

struct TunableReport {
    std::string name;
    bool present = false;
    bool writable = false;
    std::string reason;              // why not; empty: it is
    std::vector<std::string> set_by; // "/etc/sysctl.d/99-node.conf:3: 65535", "kube-proxy (pid 812)"
};

struct RightReport {
    std::string name; // "CAP_BPF"
    bool held = false;
    std::string needed_for;
};

std::vector<TunableReport> survey_tunables(const std::filesystem::path& root = "/");
std::vector<RightReport> survey_rights();

// The capabilities without which nothing can be written, as far as this process has them not: "CAP_SYS_ADMIN,
// CAP_SYS_PTRACE"; empty: it may write.
std::string missing_to_write();

// For a process that has none of the rights, what would give it some; empty: it has at least one.
std::string what_to_grant();

// Lines of a sysctl.d(5) file that set `name`, as "<file>:<line>: <value>".
std::vector<std::string> settings_of(std::string_view name, std::string_view file, std::string_view text);

} // namespace bpftune::service

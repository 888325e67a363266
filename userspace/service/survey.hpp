// SPDX-License-Identifier: Apache-2.0
// What this kernel and these rights allow, for `doctor`: tunables, rights, and who else sets the same values.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"
#include "core/snapshot.hpp"

namespace bpftune::service {

struct TunableReport {
    std::string name;
    bool present = false;
    bool writable = false;
    // Why not, after what it is for want of: "rights: ..." may be granted, "kernel: ..." not, "mount: ..." is how /proc
    // is mounted here; empty: it is writable.
    std::string reason;
    std::vector<std::string> set_by; // as SetBy::of has it
};

struct RightReport {
    std::string name; // "CAP_BPF"; "seccomp"
    bool held = false;
    std::string needed_for;
};

// One way to know how pods are called.
struct PodsStep {
    PodSource source = PodSource::cgroup;
    bool taken = false;
    std::string reason; // why not; empty: it is taken
};

// The best first. `runtime`: whether it can be asked.
std::vector<PodsStep> survey_pods(const Result<>& runtime, const std::filesystem::path& root = "/");

std::vector<TunableReport> survey_tunables(const std::filesystem::path& root = "/");
std::vector<RightReport> survey_rights();

// What this process has not, and without which nothing is to be written: "CAP_SYS_ADMIN, CAP_SYS_PTRACE", sysctls that
// are not mounted read-only; empty: it may write.
std::string missing_to_write();

// For a process that has none of the rights, what would give it some; empty: it has at least one.
std::string what_to_grant();

} // namespace bpftune::service

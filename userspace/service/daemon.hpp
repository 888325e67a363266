// SPDX-License-Identifier: Apache-2.0
// The node service: the only place that connects probes, signals, controller, actuators and views.
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/time.hpp"
#include "policy/policy.hpp"
#include "probes/probes.hpp"

namespace bpftune::service {

struct Config {
    std::filesystem::path policy = "/etc/bpftune-k8s/policy.yaml";
    bool policy_required = false;     // named on the command line
    std::optional<policy::Mode> mode; // in place of the policy's
    std::filesystem::path state_dir = "/var/lib/bpftune-k8s";
    std::filesystem::path socket = "/run/bpftune-k8s/api.sock";
    std::string listen = "127.0.0.1:9810"; // or "none"
    std::string cri_socket;                // the container runtime's; empty: the first usual one; or "none"
    Nanoseconds interval = std::chrono::seconds(1);
    std::vector<probes::RungChoice> rungs; // in place of the best ones
};

// Until SIGTERM or SIGINT. The exit status: 0; 1: it failed; 2: the policy is invalid. The reason goes to stderr.
int run(const Config& config);

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// Makes and removes pods as kubelet does, at a container runtime's own socket. Each call may take a minute.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/result.hpp"

namespace bpftune::testing {

struct ContainerSpec {
    std::string name;
    std::vector<std::string> command; // empty: the image's, which sleeps
    std::string image = "localhost/bpftune/programs:test";
};

struct PodSpec {
    std::string ns = "default";
    std::string name;
    std::string uid; // its cgroups are in /kubepods/besteffort/pod<UID>
    std::map<std::string, std::string> labels;
    std::map<std::string, std::string> annotations;
    std::map<std::string, std::string> sysctls; // of its network namespace
    bool host_network = false;
    std::string log_root; // as /var/log/pods; empty: no logs
    std::vector<ContainerSpec> containers;
};

struct Pod {
    std::string sandbox;
    std::string address;                 // empty in the host's network
    std::vector<std::string> containers; // ids, as in the spec
};

class Pods {
public:
    explicit Pods(const std::filesystem::path& socket);
    Pods(const Pods&) = delete;
    Pods& operator=(const Pods&) = delete;
    ~Pods();

    // Sandbox and containers, all started. Where one of them fails, all are removed again.
    Result<Pod> run(const PodSpec& spec);
    // One more in a pod that runs; its id.
    Result<std::string> add_container(const std::string& sandbox, const PodSpec& pod, const ContainerSpec& spec);
    Result<> stop_container(const std::string& id);
    Result<> remove(const std::string& sandbox); // with its containers
    Result<pid_t> process_of(const std::string& container);

private:
    struct Runtime;
    std::unique_ptr<Runtime> runtime_;
};

} // namespace bpftune::testing

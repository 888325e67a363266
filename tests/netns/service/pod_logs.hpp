// SPDX-License-Identifier: Apache-2.0
// A /var/log of a test's own, by which its pods have names before a runtime has told any.
#pragma once

#include <string>

#include <sched.h>
#include <sys/mount.h>

#include "netns/service/fixtures.hpp"

namespace bpftune::testing {

// For one process: this folder is /var/log.
inline Program::Before with_var_log(const fs::path& folder) {
    return [folder] {
        must(::unshare(CLONE_NEWNS) == 0, "unshare mounts");
        must(::mount("none", "/", nullptr, MS_SLAVE | MS_REC, nullptr) == 0, "keep mounts to itself");
        must(::mount(folder.c_str(), "/var/log", nullptr, MS_BIND, nullptr) == 0, "put its own /var/log there");
    };
}

// A Kubernetes namespace that only this test has, so that no policy for it is about anybody else's pods.
inline std::string own_kubernetes_namespace() { return random_name("bpftune-"); }

inline void add_pod_log(const fs::path& var_log, const std::string& ns, const std::string& name,
                        const std::string& uid) {
    fs::create_directories(var_log / "pods" / (ns + "_" + name + "_" + uid));
}

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// A server that keeps up, in a pod with a short queue, and a service that asks the pod's runtime.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cri/container_runtime.hpp"
#include "netns/service/fixtures.hpp"

namespace bpftune::testing {

inline constexpr std::uint16_t web_port = 8080;

inline std::string server_program() { return std::string(build_dir) + "/slow-server"; }

inline std::vector<std::string> server(std::uint16_t port) {
    return {"/bin/slow-server", "--port", std::to_string(port), "--backlog", "4096", "--accept-per-second", "2000"};
}

// Each is called web-0, as if the successor of another.
inline PodSpec web(const ContainerRuntime& runtime, const std::string& ns, unsigned number) {
    return {.ns = ns,
            .name = "web-0",
            .uid = runtime.uid(number),
            .labels = {{"app", "web"}},
            .sysctls = {{"net.core.somaxconn", "128"}},
            .containers = {{.name = "web", .command = server(web_port)}}};
}

inline Service::Settings asking(const ContainerRuntime& runtime) {
    return {.more = {"--cri-socket", runtime.socket().string()}};
}

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// Names of sysctls as people write them.
#pragma once

#include <string>
#include <string_view>

namespace bpftune {

// Below /proc/sys. "net.core.somaxconn" and "net/core/somaxconn" are one: of "." and "/" the one that comes first
// separates, and the other one is a part of the names (sysctl.d(5): "net.ipv4.conf.enp3s0/200.forwarding").
inline std::string path_of_sysctl(std::string_view name) {
    std::string path(name);
    const std::size_t first = path.find_first_of("./");
    if (first == std::string::npos || path[first] == '/') return path;
    for (char& each : path) each = each == '.' ? '/' : each == '/' ? '.' : each;
    return path;
}

} // namespace bpftune

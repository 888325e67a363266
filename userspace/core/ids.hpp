// SPDX-License-Identifier: Apache-2.0
// Identities of kernel objects. All are valid for one boot only.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace bpftune {

// A network namespace. The inode number is what users see (`ip netns`, `lsns`), but the kernel reuses it within
// seconds. The cookie is never reused: net->net_cookie (SO_NETNS_COOKIE, 5.14); on older kernels the SO_COOKIE of the
// namespace's rtnetlink socket, which the kernel makes and ends with it.
struct NetnsId {
    std::uint64_t cookie = 0; // 0: this kernel has none to read
    std::uint32_t inode = 0;  // 0: unknown

    [[nodiscard]] bool known() const { return inode != 0; }
    auto operator<=>(const NetnsId&) const = default;
};

enum class Family { ipv4, ipv6 };
constexpr std::string_view to_string(Family family) { return family == Family::ipv4 ? "ipv4" : "ipv6"; }

// A TCP endpoint as text, for people and JSON: "0.0.0.0", "::1".
struct Endpoint {
    std::string address;
    std::uint16_t port = 0; // host byte order

    auto operator<=>(const Endpoint&) const = default;
};

// The ports that connect() and a bind() to port 0 choose from.
struct LocalPorts {
    std::uint16_t first = 0;
    std::uint16_t last = 0;

    bool operator==(const LocalPorts&) const = default;
};
constexpr std::uint64_t count_of(const LocalPorts& ports) { return std::uint64_t{ports.last} - ports.first + 1; }

// "10.0.0.1:80", "[::]:80"
inline std::string to_string(const Endpoint& endpoint) {
    const bool v6 = endpoint.address.find(':') != std::string::npos;
    return (v6 ? "[" + endpoint.address + "]" : endpoint.address) + ":" + std::to_string(endpoint.port);
}

// A pod's container. Labels are not part of the identity.
struct Pod {
    std::string ns;        // the Kubernetes namespace; empty: not known, and `name` is the UID then
    std::string name;      // a later pod may have it again
    std::string container; // its name, or the start of its ID where that is not known; empty: the pod as a whole
    std::string uid;       // of the pod, never used again; empty: not known

    auto operator<=>(const Pod&) const = default;
};

} // namespace bpftune

template <> struct std::hash<bpftune::NetnsId> {
    std::size_t operator()(const bpftune::NetnsId& id) const noexcept {
        return std::hash<std::uint64_t>{}(id.cookie * 0x9e3779b97f4a7c15ULL ^ id.inode);
    }
};

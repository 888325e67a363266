// SPDX-License-Identifier: Apache-2.0
// Whom to measure: as the user wrote it, and the addresses that this is.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include <sys/socket.h>

#include "core/result.hpp"

namespace bpftune::measure {

struct Target {
    std::string host; // a name, or an address without brackets
    std::uint16_t port = 80;
};

// "HOST:PORT", "[IPv6]:PORT", or one of them without a port: 80.
Result<Target> parse_target(std::string_view text);

struct Address {
    sockaddr_storage storage{};
    socklen_t size = 0;

    [[nodiscard]] const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

// In the order in which they are to be tried; at least one.
Result<std::vector<Address>> resolve(const Target& target);

std::string host_text(const Address& address); // "192.0.2.1", "2001:db8::1"
std::string to_string(const Address& address); // "192.0.2.1:80", "[2001:db8::1]:80"

} // namespace bpftune::measure

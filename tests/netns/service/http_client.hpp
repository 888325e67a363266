// SPDX-License-Identifier: Apache-2.0
// Asks the HTTP port of a service that runs.
#pragma once

#include <array>
#include <string>

#include "netns/service/fixtures.hpp"

namespace bpftune::testing {

inline std::uint16_t http_port(const Service& service) {
    const std::string log = service.err();
    const std::string before = "metrics on port ";
    return static_cast<std::uint16_t>(std::stoi(log.substr(log.find(before) + before.size())));
}

inline sys::Fd ask(std::uint16_t at, const std::string& path) {
    sys::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    must(connect_to(socket, "127.0.0.1", at) == 0, "connect to the HTTP port");
    const std::string request = "GET " + path + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    must(::write(socket.value(), request.data(), request.size()) == static_cast<ssize_t>(request.size()), "ask");
    return socket;
}

inline std::string answer_on(const sys::Fd& socket) {
    std::string answer;
    std::array<char, 4096> chunk{};
    for (ssize_t size = 0; (size = ::read(socket.value(), chunk.data(), chunk.size())) > 0;)
        answer.append(chunk.data(), static_cast<std::size_t>(size));
    return answer;
}

// The whole answer to a GET of the host.
inline std::string get(std::uint16_t at, const std::string& path) { return answer_on(ask(at, path)); }

} // namespace bpftune::testing

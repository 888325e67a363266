// SPDX-License-Identifier: Apache-2.0
#include "service/listen_address.hpp"

#include <charconv>
#include <memory>
#include <string>

#include <arpa/inet.h>
#include <netdb.h>
#include <sys/socket.h>

#include "core/text.hpp"

namespace bpftune::service {
namespace {

// Of each connection, in bytes; the kernel holds twice that at most. A client has little to say.
constexpr int send_buffer = 64 * 1024;
constexpr int receive_buffer = 16 * 1024;

struct Address {
    std::string host;
    int port = 0;
};

bool is_ipv6(std::string_view text) {
    in6_addr address{};
    text = text.substr(0, text.find('%')); // fe80::1%eth0
    return ::inet_pton(AF_INET6, std::string(text).c_str(), &address) == 1;
}

Result<Address> parse_address(std::string_view text) {
    const std::size_t colon = text.rfind(':');
    const std::string_view digits = colon == std::string_view::npos ? std::string_view{} : text.substr(colon + 1);
    int port = -1;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    const bool whole = error == std::errc{} && end == digits.data() + digits.size();
    std::string_view host = text.substr(0, whole ? colon : 0);
    const bool in_brackets = host.size() > 2 && host.front() == '[' && host.back() == ']';
    if (in_brackets) host = host.substr(1, host.size() - 2);
    const bool is_host = in_brackets ? is_ipv6(host) : host.find_first_of(":[]") == std::string_view::npos;
    if (!whole || port < 0 || port > 65535 || !is_host)
        return failure("'{}' is no ADDRESS:PORT; write 127.0.0.1:9810, [::1]:9810 or none", printable(text));
    if (host.empty()) return failure("'{}' lacks an address; write 127.0.0.1:{}", printable(text), port);
    return Address{std::string(host), port};
}

struct FreeAddresses {
    void operator()(addrinfo* addresses) const { ::freeaddrinfo(addresses); }
};

// SO_REUSEADDR, so that a restart need not wait; not SO_REUSEPORT: two services would share one port, and each scrape
// would meet either. Its connections have its buffers.
sys::Fd listen_on(const addrinfo& address, int backlog) {
    sys::Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto set = [&](int level, int option, int value) {
        ::setsockopt(socket.value(), level, option, &value, sizeof value);
    };
    set(SOL_SOCKET, SO_REUSEADDR, 1);
    set(SOL_SOCKET, SO_SNDBUF, send_buffer);
    set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
    if (address.ai_family == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
    const bool listens =
        ::bind(socket.value(), address.ai_addr, address.ai_addrlen) == 0 && ::listen(socket.value(), backlog) == 0;
    return listens ? std::move(socket) : sys::Fd();
}

sys::Fd listen_on(const Address& address, int backlog) {
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* resolved = nullptr;
    if (::getaddrinfo(address.host.c_str(), std::to_string(address.port).c_str(), &hints, &resolved) != 0) return {};
    const std::unique_ptr<addrinfo, FreeAddresses> addresses(resolved);
    for (const addrinfo* one = resolved; one != nullptr; one = one->ai_next)
        if (sys::Fd socket = listen_on(*one, backlog)) return socket;
    return {};
}

} // namespace

Result<> check_address(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    return {};
}

Result<sys::Fd> listen_at(std::string_view text, int backlog) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    sys::Fd socket = listen_on(*address, backlog);
    if (!socket)
        return failure("cannot listen on {}: in use, or no address of this node; --listen chooses another",
                       printable(text));
    return socket;
}

int port_of(const sys::Fd& socket) {
    sockaddr_storage address{};
    socklen_t size = sizeof address;
    if (::getsockname(socket.value(), reinterpret_cast<sockaddr*>(&address), &size) != 0) return -1;
    const bool six = address.ss_family == AF_INET6; // both have the port in one place
    return ntohs(six ? reinterpret_cast<const sockaddr_in6&>(address).sin6_port
                     : reinterpret_cast<const sockaddr_in&>(address).sin_port);
}

} // namespace bpftune::service

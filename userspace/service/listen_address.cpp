// SPDX-License-Identifier: Apache-2.0
#include "service/listen_address.hpp"

#include <cerrno>
#include <charconv>
#include <memory>
#include <string>
#include <system_error>

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

// SO_REUSEADDR, so that a restart need not wait; not SO_REUSEPORT: two services would share one port, and each scrape
// would meet either. Its connections have its buffers.
// None: errno says why.
sys::Fd listen_on(const addrinfo& address, int backlog) {
    sys::Fd socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    const auto set = [&](int level, int option, int value) {
        ::setsockopt(socket.value(), level, option, &value, sizeof value);
    };
    if (!socket) return socket;
    set(SOL_SOCKET, SO_REUSEADDR, 1);
    set(SOL_SOCKET, SO_SNDBUF, send_buffer);
    set(SOL_SOCKET, SO_RCVBUF, receive_buffer);
    if (address.ai_family == AF_INET6) set(IPPROTO_IPV6, IPV6_V6ONLY, 0);
    const bool listens =
        ::bind(socket.value(), address.ai_addr, address.ai_addrlen) == 0 && ::listen(socket.value(), backlog) == 0;
    const int code = errno;
    if (!listens) socket.reset();
    errno = code;
    return socket;
}

} // namespace

Result<> check_address(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    return {};
}

Result<ListenAddress> ListenAddress::resolve(std::string_view text) {
    const auto address = parse_address(text);
    if (!address) return std::unexpected(address.error());
    addrinfo hints{};
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* resolved = nullptr;
    const int error = ::getaddrinfo(address->host.c_str(), std::to_string(address->port).c_str(), &hints, &resolved);
    if (error != 0) return failure("cannot listen on {}: {}", printable(text), ::gai_strerror(error));
    return ListenAddress(std::string(text), std::shared_ptr<const addrinfo>(resolved, [](const addrinfo* list) {
                             ::freeaddrinfo(const_cast<addrinfo*>(list));
                         }));
}

Result<sys::Fd> ListenAddress::listen(int backlog) const {
    int code = 0;
    for (const addrinfo* one = addresses_.get(); one != nullptr; one = one->ai_next) {
        if (sys::Fd socket = listen_on(*one, backlog)) return socket;
        if (code != EADDRINUSE) code = errno;
    }
    return std::unexpected(Error{fmt::format("cannot listen on {}: {}; --listen chooses another", printable(text_),
                                             std::generic_category().message(code)),
                                 code});
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

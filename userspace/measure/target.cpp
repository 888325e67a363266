// SPDX-License-Identifier: Apache-2.0
#include "measure/target.hpp"

#include <array>
#include <cstring>
#include <limits>
#include <memory>

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>

#include "core/parse.hpp"
#include "core/text.hpp"

namespace bpftune::measure {
namespace {

constexpr std::size_t longest_host = 253; // of a name in the DNS
constexpr std::size_t shown_columns = 20; // of what is wrong

Result<std::uint16_t> parse_port(std::string_view text) {
    const auto port = parse_number(text);
    if (!port || *port == 0 || *port > std::numeric_limits<std::uint16_t>::max())
        return failure("'{}' is no port: 1 to 65535", truncated(printable(text), shown_columns));
    return static_cast<std::uint16_t>(*port);
}

} // namespace

Result<Target> parse_target(std::string_view text) {
    constexpr std::string_view after_scheme = "://";
    if (const std::size_t scheme = text.find(after_scheme); scheme != std::string_view::npos)
        return failure("HOST:PORT is expected, without '{}'",
                       truncated(printable(text.substr(0, scheme + after_scheme.size())), shown_columns));
    Target target;
    const bool brackets = text.starts_with('[');
    const std::size_t host_end = brackets ? text.find(']') : text.find(':');
    if (brackets && host_end == std::string_view::npos) return failure("the '[' is not closed: [IPv6]:PORT");
    target.host = text.substr(brackets ? 1 : 0, host_end - (brackets ? 1 : 0));
    const std::string_view rest =
        host_end == std::string_view::npos ? std::string_view() : text.substr(host_end + (brackets ? 1 : 0));
    if (!brackets && rest.rfind(':') != rest.find(':')) return failure("an IPv6 address goes in brackets: [IPv6]:PORT");
    if (target.host.empty() || target.host.size() > longest_host || target.host.contains('\0'))
        return failure("HOST:PORT or [IPv6]:PORT is expected");
    if (rest.empty()) return target;
    if (!rest.starts_with(':')) return failure("after the ']' a ':' and the port are expected");
    const auto port = parse_port(rest.substr(1));
    if (!port) return std::unexpected(port.error());
    target.port = *port;
    return target;
}

Result<std::vector<Address>> resolve(const Target& target) {
    addrinfo wanted{};
    wanted.ai_socktype = SOCK_STREAM;
    wanted.ai_flags = AI_NUMERICSERV;
    addrinfo* found = nullptr;
    const int status = ::getaddrinfo(target.host.c_str(), std::to_string(target.port).c_str(), &wanted, &found);
    if (status != 0) return failure("'{}' is not resolved: {}", printable(target.host), ::gai_strerror(status));
    const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(found, &::freeaddrinfo);
    std::vector<Address> addresses;
    for (const addrinfo* each = found; each != nullptr; each = each->ai_next) {
        Address& address = addresses.emplace_back();
        address.size = each->ai_addrlen;
        std::memcpy(&address.storage, each->ai_addr, each->ai_addrlen);
    }
    return addresses;
}

std::string host_text(const Address& address) {
    std::array<char, NI_MAXHOST> host{};
    const int status = ::getnameinfo(address.get(), address.size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
    return status == 0 ? host.data() : "-";
}

std::string to_string(const Address& address) {
    const bool v6 = address.storage.ss_family == AF_INET6;
    // The port is at the same place in both.
    const std::uint16_t port = ntohs(reinterpret_cast<const sockaddr_in*>(&address.storage)->sin_port);
    return fmt::format("{}{}{}:{}", v6 ? "[" : "", host_text(address), v6 ? "]" : "", port);
}

} // namespace bpftune::measure

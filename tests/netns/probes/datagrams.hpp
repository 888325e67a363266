// SPDX-License-Identifier: Apache-2.0
// A UDP socket, and who sends to it, in one namespace.
#pragma once

#include <cstdint>
#include <string>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns/namespace.hpp"
#include "sys/fd.hpp"

namespace bpftune::testing {

class Datagrams {
public:
    // `buffer`: what the application asks for by SO_RCVBUF; 0: nothing.
    explicit Datagrams(const Namespace& netns, int family = AF_INET, int buffer = 0) {
        netns.inside([&] {
            receiver_ = sys::Fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
            sender_ = sys::Fd(::socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0));
            must(receiver_ && sender_, "UDP sockets");
            if (buffer > 0)
                must(::setsockopt(receiver_.value(), SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) == 0, "SO_RCVBUF");
            sockaddr_storage local{};
            local.ss_family = static_cast<sa_family_t>(family);
            auto* ipv4 = reinterpret_cast<sockaddr_in*>(&local);
            auto* ipv6 = reinterpret_cast<sockaddr_in6*>(&local);
            socklen_t size = family == AF_INET ? sizeof *ipv4 : sizeof *ipv6;
            if (family == AF_INET) ipv4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            if (family == AF_INET6) ipv6->sin6_addr = in6addr_loopback;
            must(::bind(receiver_.value(), reinterpret_cast<sockaddr*>(&local), size) == 0, "bind");
            ::getsockname(receiver_.value(), reinterpret_cast<sockaddr*>(&local), &size);
            must(::connect(sender_.value(), reinterpret_cast<sockaddr*>(&local), size) == 0, "connect");
            port_ = ntohs(family == AF_INET ? ipv4->sin_port : ipv6->sin6_port);
        });
    }

    // Each of 1,000 bytes.
    void send(int count) const {
        const std::string datagram(1000, 'x');
        for (int i = 0; i < count; ++i) (void)::send(sender_.value(), datagram.data(), datagram.size(), 0);
    }
    // All that waits, or so many. How many there were.
    int read(int most = 1 << 30) const {
        char datagram[2048];
        int count = 0;
        while (count < most && ::recv(receiver_.value(), datagram, sizeof datagram, 0) >= 0) ++count;
        return count;
    }

    [[nodiscard]] int fd() const { return receiver_.value(); }
    [[nodiscard]] std::uint16_t port() const { return port_; }
    [[nodiscard]] int buffer() const {
        int size = 0;
        socklen_t length = sizeof size;
        must(::getsockopt(fd(), SOL_SOCKET, SO_RCVBUF, &size, &length) == 0, "read SO_RCVBUF");
        return size;
    }

private:
    sys::Fd receiver_;
    sys::Fd sender_;
    std::uint16_t port_ = 0;
};

} // namespace bpftune::testing

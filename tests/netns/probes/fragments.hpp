// SPDX-License-Identifier: Apache-2.0
// Fragments that a namespace sends to itself, one by one.
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <sstream>
#include <string>
#include <vector>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "netns/namespace.hpp"
#include "sys/fd.hpp"

namespace bpftune::testing {

class FragmentSender {
public:
    static constexpr int fragments = 8; // of each datagram

    FragmentSender(const Namespace& netns, int family) : netns_(netns), family_(family) {
        socket_ = netns.inside([&] { return sys::Fd(::socket(family, SOCK_RAW | SOCK_CLOEXEC, IPPROTO_RAW)); });
        must(static_cast<bool>(socket_), "raw socket");
        // Else what one peer sends between two fragments of a datagram makes the kernel drop that.
        if (family == AF_INET) netns.write("sys/net/ipv4/ipfrag_max_dist", "0");
    }

    // All but the last of so many datagrams; the rest of them.
    void begin(int datagrams) {
        first_ = next_;
        next_ += static_cast<std::uint32_t>(datagrams);
        for (std::uint32_t id = first_; id < next_; ++id)
            for (int i = 0; i < fragments - 1; ++i) send(id, i);
    }
    void complete() const {
        for (std::uint32_t id = first_; id < next_; ++id) send(id, fragments - 1);
    }

    // What the kernel counts itself. Of IPv4 and IPv6 "ReasmFails", "ReasmTimeout", "ReasmOKs".
    [[nodiscard]] std::uint64_t counter(const std::string& name) const {
        if (family_ == AF_INET6) return word_after("net/snmp6", "Ip6" + name);
        std::istringstream lines(netns_.read("net/snmp"));
        std::string names;
        std::string values;
        std::getline(lines, names);
        std::getline(lines, values);
        std::istringstream name_words(names);
        std::istringstream value_words(values);
        for (std::string each, value; name_words >> each && value_words >> value;)
            if (each == name) return std::stoull(value);
        throw std::runtime_error("no " + name + " in /proc/net/snmp");
    }
    [[nodiscard]] std::uint64_t memory() const {
        const bool is_ipv4 = family_ == AF_INET;
        std::istringstream lines(netns_.read(is_ipv4 ? "net/sockstat" : "net/sockstat6"));
        for (std::string line; std::getline(lines, line);)
            if (line.starts_with(is_ipv4 ? "FRAG:" : "FRAG6:"))
                return std::stoull(line.substr(line.find("memory") + 7));
        throw std::runtime_error("no FRAG in sockstat");
    }

private:
    static constexpr int payload = 1400; // of each fragment, a multiple of eight

    [[nodiscard]] std::uint64_t word_after(const std::string& file, const std::string& name) const {
        std::istringstream words(netns_.read(file));
        for (std::string word, value; words >> word >> value;)
            if (word == name) return std::stoull(value);
        throw std::runtime_error("no " + name + " in " + file);
    }

    void send(std::uint32_t id, int fragment) const {
        family_ == AF_INET ? send_ipv4(id, fragment) : send_ipv6(id, fragment);
    }
    static std::uint16_t offset(int fragment) { return static_cast<std::uint16_t>(fragment * payload); }
    static bool is_last(int fragment) { return fragment == fragments - 1; }

    // RFC 791; the kernel fills in length and checksum. Protocol 253 is for tests (RFC 3692).
    void send_ipv4(std::uint32_t id, int fragment) const {
        std::array<std::uint8_t, 20 + payload> packet{0x45};
        const auto more = static_cast<std::uint16_t>(offset(fragment) / 8 | (is_last(fragment) ? 0 : 0x2000));
        put(packet, 4, static_cast<std::uint16_t>(id));
        put(packet, 6, more);
        packet[8] = 64;
        packet[9] = 253;
        packet[12] = packet[16] = 127;
        packet[15] = packet[19] = 1;
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        send(packet, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    // RFC 8200, 4.5.
    void send_ipv6(std::uint32_t id, int fragment) const {
        std::array<std::uint8_t, 48 + payload> packet{0x60};
        put(packet, 4, 8 + payload);
        packet[6] = IPPROTO_FRAGMENT;
        packet[7] = 64;
        packet[23] = packet[39] = 1;
        packet[40] = 253;
        put(packet, 42, static_cast<std::uint16_t>(offset(fragment) | (is_last(fragment) ? 0 : 1)));
        put(packet, 44, static_cast<std::uint16_t>(id >> 16U));
        put(packet, 46, static_cast<std::uint16_t>(id));
        sockaddr_in6 to{};
        to.sin6_family = AF_INET6;
        to.sin6_addr = in6addr_loopback;
        send(packet, reinterpret_cast<const sockaddr*>(&to), sizeof to);
    }
    template <std::size_t size>
    static void put(std::array<std::uint8_t, size>& packet, std::size_t at, std::uint16_t value) {
        packet[at] = static_cast<std::uint8_t>(value >> 8U);
        packet[at + 1] = static_cast<std::uint8_t>(value);
    }
    template <std::size_t size>
    void send(const std::array<std::uint8_t, size>& packet, const sockaddr* to, socklen_t length) const {
        must(::sendto(socket_.value(), packet.data(), packet.size(), 0, to, length) == static_cast<ssize_t>(size),
             "send a fragment");
    }

    const Namespace& netns_;
    int family_;
    sys::Fd socket_;
    std::uint32_t first_ = 1;
    std::uint32_t next_ = 1;
};

} // namespace bpftune::testing

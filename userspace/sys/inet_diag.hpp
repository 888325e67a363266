// SPDX-License-Identifier: Apache-2.0
// TCP sockets of a network namespace as the kernel lists them (sock_diag), whoever holds them.
#pragma once

#include <cstdint>
#include <functional>

#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

struct inet_diag_msg;
struct nlmsghdr;
struct sockaddr_storage;

namespace bpftune::sys {

// The kernel's number of the protocol (include/uapi/linux/in.h), which Debian 12's headers do not have.
inline constexpr int mptcp_protocol = 262;

struct InetDump {
    int family = 0;              // AF_INET or AF_INET6
    int protocol = 0;            // IPPROTO_TCP, IPPROTO_UDP or mptcp_protocol
    std::uint32_t states = 0;    // bits by number of include/net/tcp_states.h
    std::uint8_t attributes = 0; // bits as of inet_diag_req_v2::idiag_ext
    std::uint16_t port = 0;      // the local one; 0: any
};
inline constexpr std::uint32_t listening_state = 1U << 10; // TCP_LISTEN
inline constexpr std::uint32_t any_state = ~0U;
inline constexpr std::uint32_t half_open_state = 1U << 3; // TCP_SYN_RECV: net/ipv4/inet_diag.c, handshakes under way

// Hands over each socket of the namespace that `socket` (Netlink::sock_diag) belongs to, until `take` answers false:
// then nothing else can be asked on that socket. Error codes: ENOENT: this kernel has no such diagnosis; of MPTCP that
// or EINVAL.
Result<> dump_sockets(const Fd& socket, const InetDump& dump,
                      const std::function<bool(const nlmsghdr&, const inet_diag_msg&)>& take);

std::uint64_t cookie_of(const inet_diag_msg& socket); // SO_COOKIE

// Whether a TCP or MPTCP socket with this cookie listens in the namespace that the calling thread is in. False also on
// a kernel that has no such diagnosis. Error code ETIME: it was not found before `deadline`, and there are more.
Result<bool> listens_here(std::uint64_t cookie, MonoTime deadline);

// The same of a UDP socket.
Result<bool> receives_datagrams_here(std::uint64_t cookie, MonoTime deadline);

// The handshakes under way in the namespace that the calling thread is in that may be a listener's at this address:
// whose they are is not told where several share it. Error code ETIME: there were more at `deadline`.
Result<std::uint64_t> half_open_here(const sockaddr_storage& listener, MonoTime deadline);

} // namespace bpftune::sys

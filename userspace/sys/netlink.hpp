// SPDX-License-Identifier: Apache-2.0
// Netlink sockets, and questions that the kernel answers on them.
#pragma once

#include <cstdint>
#include <functional>

#include "core/result.hpp"
#include "sys/fd.hpp"

struct nlmsghdr;

namespace bpftune::sys {

// What a namespace may be asked. A closed set: one process opens these for another.
enum class Netlink : std::uint32_t { none, sock_diag, netfilter };

// A socket of that protocol, which belongs to the network namespace of the calling thread for good; `none`: no socket.
Result<Fd> open_netlink(Netlink protocol);

// Sends the question and hands over each message of the answer. Only the kernel is listened to: whoever has
// CAP_NET_ADMIN in the socket's namespace could send to it as well. Error codes: what the kernel says.
Result<> ask_kernel(const Fd& socket, const nlmsghdr& question, const std::function<void(const nlmsghdr&)>& take);

// The same until `take` answers false: it has enough. What is left of the answer is not read, so the socket is of no
// more use than to be closed.
Result<> ask_kernel_while(const Fd& socket, const nlmsghdr& question, const std::function<bool(const nlmsghdr&)>& take);

} // namespace bpftune::sys

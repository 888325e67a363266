// SPDX-License-Identifier: Apache-2.0
#include "sys/netlink.hpp"

#include <array>
#include <span>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>
#include <sys/socket.h>

namespace bpftune::sys {
namespace {

constexpr sockaddr_nl kernel{.nl_family = AF_NETLINK, .nl_pad = 0, .nl_pid = 0, .nl_groups = 0};

// Waits for the next datagram of the kernel.
Result<std::size_t> receive(const Fd& socket, std::span<char> buffer) {
    while (true) {
        sockaddr_nl from{};
        socklen_t size = sizeof from;
        const ssize_t count = ::recvfrom(socket.value(), buffer.data(), buffer.size(), MSG_TRUNC,
                                         reinterpret_cast<sockaddr*>(&from), &size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_failure(errno, "read netlink");
        if (size != sizeof from || from.nl_pid != kernel.nl_pid) continue;
        if (static_cast<std::size_t>(count) > buffer.size()) return failure("read netlink: cut short");
        return static_cast<std::size_t>(count);
    }
}

int hand_over(const nlmsghdr* message, void* take) {
    const bool more = (*static_cast<const std::function<bool(const nlmsghdr&)>*>(take))(*message);
    return more ? MNL_CB_OK : MNL_CB_STOP;
}

} // namespace

Result<Fd> open_netlink(Netlink protocol) {
    if (protocol == Netlink::none) return Fd();
    const int number = protocol == Netlink::sock_diag ? NETLINK_SOCK_DIAG : NETLINK_NETFILTER;
    Fd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, number));
    if (!socket) return system_failure(errno, "make a netlink socket");
    return socket;
}

Result<> ask_kernel(const Fd& socket, const nlmsghdr& question, const std::function<void(const nlmsghdr&)>& take) {
    return ask_kernel_while(socket, question, [&](const nlmsghdr& message) {
        take(message);
        return true;
    });
}

Result<> ask_kernel_while(const Fd& socket, const nlmsghdr& question,
                          const std::function<bool(const nlmsghdr&)>& take) {
    if (::sendto(socket.value(), &question, question.nlmsg_len, 0, reinterpret_cast<const sockaddr*>(&kernel),
                 sizeof kernel) < 0)
        return system_failure(errno, "ask netlink");
    std::array<char, 32768> buffer; // NOLINT(cppcoreguidelines-pro-type-member-init): the kernel fills it
    int more = MNL_CB_OK;
    while (more == MNL_CB_OK) {
        const auto size = receive(socket, buffer);
        if (!size) return std::unexpected(size.error());
        more = mnl_cb_run(buffer.data(), *size, 0, 0, hand_over, const_cast<void*>(static_cast<const void*>(&take)));
        if (more < 0) return system_failure(errno, "netlink");
    }
    return {};
}

} // namespace bpftune::sys

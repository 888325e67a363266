// SPDX-License-Identifier: Apache-2.0
#include "sys/sockets.hpp"

#include <array>
#include <string>
#include <string_view>

#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/parse.hpp"
#include "sys/clock.hpp"
#include "sys/directory.hpp"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef SO_BUF_LOCK
#define SO_BUF_LOCK 72
#endif

namespace bpftune::sys {
namespace {

template <class T> Result<T> option(int socket, int level, int name, const char* what) {
    T value{};
    socklen_t size = sizeof value;
    if (::getsockopt(socket, level, name, &value, &size) != 0) return system_failure(errno, "read {}", what);
    return value;
}

// "socket:[4711]"
std::optional<std::uint64_t> socket_inode(std::string_view target) {
    constexpr std::string_view before = "socket:[";
    if (!target.starts_with(before) || !target.ends_with(']')) return std::nullopt;
    const auto number = parse_number(target.substr(before.size(), target.size() - before.size() - 1));
    return number ? std::optional(*number) : std::nullopt;
}

} // namespace

Result<std::uint64_t> socket_cookie(int socket) {
    return option<std::uint64_t>(socket, SOL_SOCKET, SO_COOKIE, "SO_COOKIE");
}

Result<std::uint64_t> netns_cookie(int socket) {
    auto cookie = option<std::uint64_t>(socket, SOL_SOCKET, SO_NETNS_COOKIE, "SO_NETNS_COOKIE");
    if (!cookie && cookie.error().code == ENOPROTOOPT) return 0;
    return cookie;
}

Result<Fd> netns_of_socket(int socket) {
    Fd netns(::ioctl(socket, SIOCGSKNS));
    if (!netns) return system_failure(errno, "ask a socket for its network namespace (SIOCGSKNS)");
    return netns;
}

Result<bool> is_listening(int socket) {
    const auto on = option<int>(socket, SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN");
    if (!on) return std::unexpected(on.error());
    return *on != 0;
}

Result<AcceptQueue> accept_queue(int socket) {
    const auto info = option<tcp_info>(socket, IPPROTO_TCP, TCP_INFO, "TCP_INFO");
    if (!info) return std::unexpected(info.error());
    return AcceptQueue{.length = info->tcpi_unacked, .limit = info->tcpi_sacked};
}

Result<bool> is_udp(int socket) {
    const auto type = option<int>(socket, SOL_SOCKET, SO_TYPE, "SO_TYPE");
    if (!type) return std::unexpected(type.error());
    const auto protocol = option<int>(socket, SOL_SOCKET, SO_PROTOCOL, "SO_PROTOCOL");
    if (!protocol) return std::unexpected(protocol.error());
    return *type == SOCK_DGRAM && *protocol == IPPROTO_UDP;
}

Result<ReceiveBuffer> receive_buffer(int socket) {
    std::array<std::uint32_t, SK_MEMINFO_VARS> memory{};
    socklen_t size = sizeof memory;
    if (::getsockopt(socket, SOL_SOCKET, SO_MEMINFO, memory.data(), &size) != 0)
        return system_failure(errno, "read SO_MEMINFO");
    return ReceiveBuffer{.bytes = memory[SK_MEMINFO_RCVBUF], .in_use = memory[SK_MEMINFO_RMEM_ALLOC]};
}

Result<> set_receive_buffer(int socket, std::uint64_t bytes) {
    const auto locks = option<int>(socket, SOL_SOCKET, SO_BUF_LOCK, "SO_BUF_LOCK");
    if (!locks && locks.error().code == ENOPROTOOPT)
        return system_failure(EOPNOTSUPP, "this kernel has no SO_BUF_LOCK: a raise could not be put back whole");
    if (!locks) return std::unexpected(locks.error());
    const int half = static_cast<int>(bytes / 2);
    if (::setsockopt(socket, SOL_SOCKET, SO_RCVBUFFORCE, &half, sizeof half) != 0)
        return system_failure(errno, "set SO_RCVBUFFORCE to {}", half);
    if (::setsockopt(socket, SOL_SOCKET, SO_BUF_LOCK, &*locks, sizeof *locks) != 0)
        return system_failure(errno, "set SO_BUF_LOCK back to {}", *locks);
    return {};
}

bool tells_who_set_buffers() {
    const Fd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    return socket && option<int>(socket.value(), SOL_SOCKET, SO_BUF_LOCK, "SO_BUF_LOCK").has_value();
}

// By number: <sys/pidfd.h> of glibc 2.36 declares no C linkage.
Result<Fd> open_process(pid_t pid) {
    Fd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    if (!process) return system_failure(errno, "open process {}", pid);
    return process;
}

Result<Fd> fetch_descriptor(pid_t pid, int fd) {
    auto process = open_process(pid);
    if (!process) return process;
    Fd duplicate(static_cast<int>(::syscall(SYS_pidfd_getfd, process->value(), fd, 0)));
    if (duplicate) return duplicate;
    const int code = errno;
    const std::string_view hint =
        code == EPERM ? " (it takes CAP_SYS_PTRACE, and kernel.yama.ptrace_scope below 3)" : "";
    return system_failure(code, "fetch descriptor {} of process {}{}", fd, pid, hint);
}

Result<std::optional<int>> find_socket(pid_t pid, std::uint64_t inode, std::size_t most, MonoTime deadline,
                                       std::vector<std::uint64_t>* others) {
    const std::string directory = fmt::format("/proc/{}/fd", pid);
    const auto descriptors = numbered_entries(directory, most);
    if (!descriptors) return std::unexpected(descriptors.error());
    for (std::size_t i = 0; i < descriptors->size(); ++i) {
        if (i % 64 == 0 && now().mono >= deadline)
            return std::unexpected(Error{fmt::format("look for socket {}: it takes too long", inode), ETIME});
        const int fd = (*descriptors)[i];
        std::array<char, 64> target{};
        const ssize_t size = ::readlink(fmt::format("{}/{}", directory, fd).c_str(), target.data(), target.size());
        if (size < 0 && (errno == EACCES || errno == EPERM)) return system_failure(errno, "read {}/{}", directory, fd);
        if (size <= 0) continue;
        const auto found = socket_inode({target.data(), static_cast<std::size_t>(size)});
        if (found == inode) return fd;
        if (found && others != nullptr) others->push_back(*found);
    }
    return std::nullopt;
}

} // namespace bpftune::sys

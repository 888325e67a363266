// SPDX-License-Identifier: Apache-2.0
// Sockets of other processes: fetched, identified, looked at.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include <sys/types.h>

#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// SO_COOKIE: never reused in a boot (net/core/sock_diag.c, kernel 4.12). ENOTSOCK: the descriptor is something else.
Result<std::uint64_t> socket_cookie(int socket);

// SO_NETNS_COOKIE (kernel 5.14) of the namespace that the socket belongs to; 0: this kernel has none to read.
Result<std::uint64_t> netns_cookie(int socket);

// The network namespace that the socket belongs to, whatever namespace its process is in (SIOCGSKNS). Needs
// CAP_NET_ADMIN there.
Result<Fd> netns_of_socket(int socket);

// SO_ACCEPTCONN
Result<bool> is_listening(int socket);

struct AcceptQueue {
    std::uint32_t length = 0; // sk_ack_backlog
    std::uint32_t limit = 0;  // sk_max_ack_backlog
};
// Of a listening TCP socket (net/ipv4/tcp.c, tcp_get_info).
Result<AcceptQueue> accept_queue(int socket);

// Of UDP: a raw socket for its packets is none.
Result<bool> is_udp(int socket);

struct ReceiveBuffer {
    std::uint32_t bytes = 0;  // sk_rcvbuf
    std::uint32_t in_use = 0; // sk_rmem_alloc
};
Result<ReceiveBuffer> receive_buffer(int socket); // SO_MEMINFO, kernel 4.12

// SO_RCVBUFFORCE, and then what it says of who has set the size back to what that was (SO_BUF_LOCK, kernel 5.14: error
// code EOPNOTSUPP, and nothing is set). An even number of bytes. Needs CAP_NET_ADMIN in the socket's namespace.
Result<> set_receive_buffer(int socket, std::uint64_t bytes);
// Whether this kernel has SO_BUF_LOCK.
bool tells_who_set_buffers();

// A pidfd (pidfd_open, kernel 5.3). Error code ESRCH: there is no such process.
Result<Fd> open_process(pid_t pid);

// A duplicate of descriptor `fd` of process `pid` (pidfd_getfd, kernel 5.6). Hold it for the blink of one function: a
// listener that is still held goes on accepting after its application closed it. Error codes: ESRCH or EBADF if the
// process or its descriptor is not there; EPERM without CAP_SYS_PTRACE or under Yama's ptrace_scope 3.
Result<Fd> fetch_descriptor(pid_t pid, int fd);

// The first of the lowest `most` descriptors of `pid` that is the socket with this inode; nullopt: none is. Error
// codes: ESRCH or ENOENT if there is no such process; EACCES without CAP_DAC_READ_SEARCH or CAP_SYS_PTRACE; ETIME at
// `deadline`: a table may have a million descriptors, and many processes may share it. `others`: is given the inodes of
// all sockets that were come upon before.
Result<std::optional<int>> find_socket(pid_t pid, std::uint64_t inode, std::size_t most, MonoTime deadline,
                                       std::vector<std::uint64_t>* others = nullptr);

} // namespace bpftune::sys

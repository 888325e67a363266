// SPDX-License-Identifier: Apache-2.0
// What the tests of the actuators share: a server that does as it is told, the host's lock, scopes.
#pragma once

#include <algorithm>
#include <array>
#include <cstring>
#include <filesystem>
#include <thread>

#include <catch2/catch.hpp>
#include <linux/filter.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "actuators/writer.hpp"
#include "netns/lock.hpp"
#include "netns/namespace.hpp"
#include "sys/netns.hpp"
#include "sys/sockets.hpp"
#include "temporary_directory.hpp"

namespace bpftune::testing {

template <class T> T take(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

inline NetnsId id_of(const Namespace& netns) {
    return netns.inside([] { return take(sys::own_netns()); });
}

inline std::uint64_t somaxconn_in(const Namespace& netns) { return std::stoull(netns.read("sys/net/core/somaxconn")); }

inline std::size_t open_descriptors(pid_t pid) {
    const std::filesystem::directory_iterator entries(fmt::format("/proc/{}/fd", pid));
    return static_cast<std::size_t>(std::distance(begin(entries), end(entries)));
}

// Takes the lock of a socket, until this process ends: under it the kernel waits for a page that never comes.
inline void keep_locked(int socket) {
    const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    void* place = ::mmap(nullptr, page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    const int faults = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK)); // open until then
    uffdio_api api{.api = UFFD_API, .features = 0, .ioctls = 0};
    uffdio_register missing{.range = {.start = reinterpret_cast<std::uintptr_t>(place), .len = page},
                            .mode = UFFDIO_REGISTER_MODE_MISSING,
                            .ioctls = 0};
    must(::ioctl(faults, UFFDIO_API, &api) == 0 && ::ioctl(faults, UFFDIO_REGISTER, &missing) == 0,
         "take over page faults");
    std::thread([socket, place] {
        const sock_fprog filter{.len = 1, .filter = static_cast<sock_filter*>(place)};
        ::setsockopt(socket, SOL_SOCKET, SO_ATTACH_FILTER, &filter, sizeof filter);
    }).detach();
    pollfd fault{.fd = faults, .events = POLLIN, .revents = 0};
    must(::poll(&fault, 1, 60'000) == 1, "wait until it is locked");
}

// A listening socket of this process.
inline sys::Fd listening(const Namespace& netns, int backlog, int family = AF_INET, int protocol = IPPROTO_TCP) {
    return netns.inside([&] {
        sys::Fd socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, protocol));
        must(::listen(socket.value(), backlog) == 0, "listen");
        return socket;
    });
}

// Of any socket of this process.
inline Scope scope_of_socket(const Namespace& netns, int socket) {
    struct stat status{};
    must(::fstat(socket, &status) == 0, "fstat");
    Scope scope{.netns = id_of(netns), .netns_pid = 0, .listener = {}, .pod = {}};
    scope.listener = ListenerRef{.cookie = take(sys::socket_cookie(socket)),
                                 .inode = status.st_ino,
                                 .local = {},
                                 .pid = ::getpid(),
                                 .fd = socket};
    return scope;
}

inline Scope scope_of_listener(const Namespace& netns, const sys::Fd& socket) {
    return scope_of_socket(netns, socket.value());
}

// A descriptor that was sent and not received yet: no process has it.
class InFlight {
public:
    explicit InFlight(sys::Fd descriptor) {
        int ends[2];
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
        from_ = sys::Fd(ends[0]);
        to_ = sys::Fd(ends[1]);
        const int fd = descriptor.value();
        cmsghdr* header = CMSG_FIRSTHDR(&message_);
        *header = {.cmsg_len = CMSG_LEN(sizeof fd), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
        std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
        must(::sendmsg(from_.value(), &message_, 0) == 1, "send a descriptor");
    }
    InFlight(const InFlight&) = delete;
    InFlight& operator=(const InFlight&) = delete;
    ~InFlight() = default;

    sys::Fd receive() {
        must(::recvmsg(to_.value(), &message_, MSG_CMSG_CLOEXEC) == 1, "receive a descriptor");
        int fd = -1;
        std::memcpy(&fd, CMSG_DATA(CMSG_FIRSTHDR(&message_)), sizeof fd);
        return sys::Fd(fd);
    }

private:
    sys::Fd from_;
    sys::Fd to_;
    char byte_ = 0;
    iovec place_{.iov_base = &byte_, .iov_len = 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control_{};
    msghdr message_{.msg_name = nullptr,
                    .msg_namelen = 0,
                    .msg_iov = &place_,
                    .msg_iovlen = 1,
                    .msg_control = control_.data(),
                    .msg_controllen = control_.size(),
                    .msg_flags = 0};
};

// A process that listens on a loopback port of a namespace and is told what to do next.
class Server {
public:
    struct Facts {
        std::uint64_t cookie;
        std::uint64_t inode;
        std::uint64_t limit;
        int fd;
        std::uint16_t port;
        bool listens;
    };

    Server(const Namespace& netns, int backlog, uid_t user = 0, int protocol = IPPROTO_TCP) : netns_(netns) {
        int ends[2];
        must(::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0, "socketpair");
        control_ = sys::Fd(ends[0]);
        pid_ = ::fork();
        must(pid_ >= 0, "fork");
        if (pid_ == 0) serve(netns, ends[1], backlog, user, protocol);
        ::close(ends[1]);
        first_ = ask('?');
    }
    Server(const Server&) = delete;
    Server& operator=(const Server&) = delete;
    ~Server() { end(); }

    void end() {
        if (pid_ <= 0) return;
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
        pid_ = -1;
    }

    [[nodiscard]] pid_t pid() const { return pid_; }
    Facts facts() { return ask('?'); }
    void shut_down() { ask('s'); }
    void close() { ask('c'); }
    void listen_again() { ask('g'); } // with 256
    void lock() { ask('l'); }         // keeps the socket's lock from then on
    void replace() { ask('r'); }      // closes the socket and listens with another at the same descriptor
    void move_on() { ask('m'); }      // passes the socket on to another descriptor, another socket takes its place
    void accept(int count) {
        for (int i = 0; i < count; ++i) ask('a');
    }
    bool serves() { // somebody connects, is accepted, and reads what the server wrote
        return netns_.inside([this] {
            const sys::Fd client(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
            const sockaddr_in to = address(ask('?').port);
            if (::connect(client.value(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) return false;
            ask('a');
            char byte = 0;
            return ::read(client.value(), &byte, 1) == 1 && byte == 'y';
        });
    }

    // As it was at the start.
    [[nodiscard]] Scope scope() const {
        return {.netns = id_of(netns_),
                .netns_pid = pid_,
                .listener = ListenerRef{.cookie = first_.cookie,
                                        .inode = first_.inode,
                                        .local = {.address = "127.0.0.1", .port = first_.port},
                                        .pid = pid_,
                                        .fd = first_.fd},
                .pod = {}};
    }

private:
    static sockaddr_in address(std::uint16_t port) {
        sockaddr_in any{};
        any.sin_family = AF_INET;
        any.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        any.sin_port = htons(port);
        return any;
    }

    static int listen_with(int backlog, int protocol = IPPROTO_TCP) {
        const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol);
        const sockaddr_in any = address(0);
        must(fd >= 0, "socket");
        must(::bind(fd, reinterpret_cast<const sockaddr*>(&any), sizeof any) == 0, "bind");
        must(::listen(fd, backlog) == 0, "listen");
        return fd;
    }

    static Facts look_at(int fd) {
        struct stat status{};
        if (::fstat(fd, &status) != 0) return {};
        sockaddr_in bound{};
        socklen_t size = sizeof bound;
        ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
        return {.cookie = take(sys::socket_cookie(fd)),
                .inode = status.st_ino,
                .limit = take(sys::accept_queue(fd)).limit,
                .fd = fd,
                .port = ntohs(bound.sin_port),
                .listens = take(sys::is_listening(fd))};
    }

    static void obey(char order, int& fd) {
        if (order == 's') must(::shutdown(fd, SHUT_RD) == 0, "shutdown");
        if (order == 'c') ::close(fd);
        if (order == 'l') keep_locked(fd);
        if (order == 'g') must(::listen(fd, 256) == 0, "listen again");
        if (order == 'm') must((fd = ::dup2(fd, fd + 1)) > 0, "dup2");
        if (order == 'r' || order == 'm') {
            const int other = listen_with(10);
            const int old = order == 'm' ? fd - 1 : fd;
            ::dup2(other, old);
            ::close(other);
        }
        if (order == 'a') {
            const sys::Fd client(::accept(fd, nullptr, nullptr));
            must(::write(client.value(), "y", 1) == 1, "answer a client");
        }
    }

    [[noreturn]] static void serve(const Namespace& netns, int control, int backlog, uid_t user, int protocol) {
        ::prctl(PR_SET_PDEATHSIG, SIGKILL);
        try {
            netns.enter();
            must(user == 0 || ::setresuid(user, user, user) == 0, "change user");
            int fd = listen_with(backlog, protocol);
            char order = 0;
            Facts facts{};
            while (::read(control, &order, 1) == 1) {
                obey(order, fd);
                if (order != 'l') facts = look_at(fd); // which would wait for the lock
                must(::write(control, &facts, sizeof facts) == sizeof facts, "answer");
            }
        } catch (const std::exception& error) {
            fmt::print(stderr, "server: {}\n", error.what());
        }
        ::_exit(0);
    }

    Facts ask(char order) {
        Facts facts{};
        must(::write(control_.value(), &order, 1) == 1, "ask the server");
        must(::read(control_.value(), &facts, sizeof facts) == sizeof facts, "hear from the server");
        return facts;
    }

    const Namespace& netns_;
    sys::Fd control_;
    pid_t pid_ = -1;
    Facts first_{};
};

} // namespace bpftune::testing

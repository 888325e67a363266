// SPDX-License-Identifier: Apache-2.0
// What the writer changes: an object that has been reached, is proven to be the one that the scope names, and is let
// go of at the end of the request. One class for each Kind of tunable.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <utility>

#include "core/change.hpp"
#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"
#include "sys/netns.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::actuators {

// Of the thread that calls, until the guard ends. Error code ESTALE: the namespace is gone.
Result<sys::NetnsGuard> enter(const Scope& scope);

// Error code EPERM: the scope is not the init network namespace.
Result<> check_is_init(const Scope& scope);

// The folder in sysfs of the network device that `scope` names, whatever it is called by then; `renamed`: it may have
// another name by now. Error code ESTALE: it is gone, or another one.
Result<sys::Fd> open_device_of(const Scope& scope, bool renamed);

// What becomes of a file of a device that goes meanwhile: ESTALE.
Error as_gone(Error error);

// netns_sysctl, host_sysctl: a file below /proc/sys, opened and used inside its namespace (/proc/sys/net follows the
// thread).
class Sysctl {
public:
    enum class For { reading, writing };

    // Error code ESTALE: the namespace is gone. A value of the node is refused (EPERM) unless the scope is the
    // init network namespace.
    static Result<Sysctl> open(const tunables::Tunable& tunable, const Scope& scope, For use);

    [[nodiscard]] Result<std::uint64_t> value() const;
    [[nodiscard]] Result<> set(std::uint64_t value) const;

private:
    Sysctl(const tunables::Tunable& tunable, sys::NetnsGuard inside, sys::Fd file, std::string path)
        : tunable_(tunable), inside_(std::move(inside)), file_(std::move(file)), path_(std::move(path)) {}
    [[nodiscard]] Result<std::string> text() const;

    const tunables::Tunable& tunable_;
    sys::NetnsGuard inside_;
    sys::Fd file_;
    std::string path_;
};

// listener: a listening socket of another process, fetched as a duplicate.
class ListeningSocket {
public:
    // Error codes: ESTALE: it is closed, or does not listen any more; EBUSY: it listens, but no process shows a
    // descriptor of it, by which it could be fetched: not now.
    static Result<ListeningSocket> fetch(const Scope& scope);

    [[nodiscard]] Result<std::uint64_t> value() const; // sk_max_ack_backlog

    // What waits to be accepted, sk_ack_backlog; or the handshakes under way, if these are more, where tcp_syncookies
    // is 0: SYNs are refused at the same limit then.
    [[nodiscard]] Result<std::uint64_t> in_use() const;

    // Refused (EAGAIN) past somaxconn of the socket's namespace, to which the kernel would silently cut it: it has been
    // lowered since the limit was decided.
    [[nodiscard]] Result<> set(std::uint64_t limit) const;

private:
    ListeningSocket(sys::Fd socket, NetnsId netns) : socket_(std::move(socket)), netns_(netns) {}

    sys::Fd socket_;
    NetnsId netns_;
};

// udp_buffer: the receive buffer of a UDP socket of another process, fetched as a duplicate.
class ReceiveBuffer {
public:
    // Error codes as of ListeningSocket::fetch().
    static Result<ReceiveBuffer> fetch(const Scope& scope);

    [[nodiscard]] Result<std::uint64_t> value() const;  // sk_rcvbuf
    [[nodiscard]] Result<std::uint64_t> in_use() const; // sk_rmem_alloc

    // Whether the application has set a size stays as it is (sk_userlocks). Refused where that cannot be (EOPNOTSUPP, a
    // kernel before 5.14), and for odd numbers (ERANGE): the kernel has none by itself, and could not be brought back
    // to one.
    [[nodiscard]] Result<> set(std::uint64_t bytes) const;

private:
    explicit ReceiveBuffer(sys::Fd socket) : socket_(std::move(socket)) {}

    sys::Fd socket_;
};

// rx_queue: a file of one receive queue of a network device.
class ReceiveQueue {
public:
    enum class Is {
        anybodys, // of the device by this name and index
        ours,     // of the one by this index, which may have another name by now
    };
    // Error code ESTALE: the namespace, the device, or its queue is gone.
    static Result<ReceiveQueue> open(const tunables::Tunable& tunable, const Scope& scope, Is is);

    [[nodiscard]] Result<std::uint64_t> value() const;
    [[nodiscard]] Result<> set(std::uint64_t value) const;

private:
    ReceiveQueue(const tunables::Tunable& tunable, sys::Fd device, std::string path)
        : tunable_(tunable), device_(std::move(device)), path_(std::move(path)) {}

    const tunables::Tunable& tunable_;
    sys::Fd device_;   // its folder in sysfs, whatever it is called by then
    std::string path_; // of the file, below that
};

// interrupt: a file of one interrupt of a network device of the node.
class Interrupt {
public:
    // Error codes: EPERM: the scope is not the init network namespace; ESTALE: the device is gone, or the interrupt is
    // not one of its own any more.
    static Result<Interrupt> open(const tunables::Tunable& tunable, const Scope& scope);

    [[nodiscard]] Result<std::uint64_t> value() const;
    [[nodiscard]] Result<> set(std::uint64_t value) const;

private:
    Interrupt(const tunables::Tunable& tunable, std::string path) : tunable_(tunable), path_(std::move(path)) {}

    const tunables::Tunable& tunable_;
    std::string path_;
};

// Both in full, by the tunable's kind; `write` compares, sets, reads back, and where the kernel made something else of
// `to`, puts `from` back and says so.
Result<std::uint64_t> read_object(const tunables::Tunable& tunable, const Scope& scope);
Outcome write_object(const tunables::Tunable& tunable, const Scope& scope, std::uint64_t from, std::uint64_t to);

// What is in use of it now: what waits in the queue, or its handshakes (ListeningSocket::in_use); the entries of the
// fullest conntrack table of all network namespaces, for its buckets too; of somaxconn nothing by itself, 0. An error:
// it is not known, for what could not be read may be the fullest.
Result<std::uint64_t> use_of_object(const tunables::Tunable& tunable, const Scope& scope);

// write_object(), but not to a value that has no room for what is in use at this moment, or where that is not known.
Outcome lower_object(const tunables::Tunable& tunable, const Scope& scope, std::uint64_t from, std::uint64_t to);

} // namespace bpftune::actuators

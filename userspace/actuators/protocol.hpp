// SPDX-License-Identifier: Apache-2.0
// What passes between the service and its writer over a SOCK_SEQPACKET pair: one answer for each request, in their
// order. Both ends are one program; version and size are checked so that a broken message is refused and not believed.
// The answer to a visit or for types may carry one descriptor (SCM_RIGHTS).
#pragma once

#include <array>
#include <cstdint>
#include <type_traits>

#include "core/change.hpp"
#include "sys/visit.hpp"

namespace bpftune::actuators {

inline constexpr std::uint32_t protocol_version = 3;

enum class Operation : std::uint32_t { read = 1, write = 2, visit = 3, conntrack_types = 4 };

struct Request {
    std::uint32_t version = protocol_version;
    Operation operation = Operation::read;
    std::uint32_t tunable = 0;
    std::uint32_t netns_inode = 0;
    std::uint64_t netns_cookie = 0;
    std::uint64_t listener_cookie = 0; // 0: no listener
    std::uint64_t listener_inode = 0;
    std::int32_t netns_pid = 0;
    std::int32_t listener_pid = 0;
    std::int32_t listener_fd = -1;
    sys::Netlink netlink = sys::Netlink::none; // visit only: the socket that is wanted
    std::uint64_t from = 0;                    // write only
    std::uint64_t to = 0;
};
static_assert(sizeof(Request) == 72 && std::is_trivially_copyable_v<Request>);

struct Answer {
    std::uint32_t version = protocol_version;
    std::uint32_t kind = 0; // Outcome::Kind; what succeeded is `written`
    std::int32_t code = 0;  // errno of a failure
    std::uint32_t error_size = 0;
    std::uint64_t value = 0;
    std::uint64_t netns_cookie = 0; // visit only, as are these
    sys::NetnsSysctls sysctls;
    std::array<char, 976> error{};
};
static_assert(sizeof(sys::NetnsSysctls) == 16 && sizeof(Answer) == 1024 && std::is_trivially_copyable_v<Answer>);

inline Request request_of(Operation operation, TunableId tunable, const Scope& scope) {
    const ListenerRef listener = scope.listener.value_or(ListenerRef{});
    return {.operation = operation,
            .tunable = static_cast<std::uint32_t>(tunable),
            .netns_inode = scope.netns.inode,
            .netns_cookie = scope.netns.cookie,
            .listener_cookie = listener.cookie,
            .listener_inode = listener.inode,
            .netns_pid = scope.netns_pid,
            .listener_pid = listener.pid,
            .listener_fd = listener.fd};
}

inline Scope scope_of(const Request& request) {
    Scope scope{.netns = {.cookie = request.netns_cookie, .inode = request.netns_inode},
                .netns_pid = request.netns_pid,
                .listener = {},
                .pod = {}};
    if (request.listener_cookie != 0)
        scope.listener = ListenerRef{.cookie = request.listener_cookie,
                                     .inode = request.listener_inode,
                                     .local = {},
                                     .pid = request.listener_pid,
                                     .fd = request.listener_fd};
    return scope;
}

} // namespace bpftune::actuators

// SPDX-License-Identifier: Apache-2.0
// What passes between the service and its writer over a SOCK_SEQPACKET pair: one answer for each request, in their
// order, with its number: whoever did not wait for one knows it when it comes. Both ends are one program; version and
// size are checked so that a broken message is refused and not believed. The answer to a visit or for types may carry
// descriptors (SCM_RIGHTS): those that were asked for, in the order of sys::Visit.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstring>
#include <string_view>
#include <type_traits>

#include <net/if.h>

#include "core/change.hpp"
#include "core/result.hpp"
#include "sys/process_links.hpp"
#include "sys/visit.hpp"

namespace bpftune::actuators {

inline constexpr std::uint32_t protocol_version = 8;

enum class Operation : std::uint32_t {
    read = 1,
    write = 2,
    visit = 3,
    conntrack_types = 4,
    lower = 5,  // a write that looks at what is in use first
    in_use = 6, // how much of it is, now
    nudge = 7,  // running connections take what was raised
    // What links of /proc are (sys/process_links.hpp), in numbers alone:
    namespaces = 8,  // of the processes `asked`
    descriptors = 9, // `asked`, of the process `listener_pid`
    sockets = 10,    // of the process `listener_pid`, from `listener_fd` on
};

inline constexpr std::size_t most_asked = 64;
static_assert(most_asked >= sys::OpenSockets::most);

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
    sys::Netlink netlink = sys::Netlink::none; // visit only, as are these: sys::Wanted
    std::uint32_t counters = 0;                // 0 or 1, as the next
    std::uint32_t timeouts = 0;
    std::uint32_t nudge_link = 0; // nudge only
    std::uint32_t netns_path_size = 0;
    std::array<char, 252> netns_path{}; // sys::NetnsHint; a longer one is not passed on
    std::uint32_t devices = 0;          // 0 or 1, visit only
    std::uint32_t queue = 0;            // Scope::queue, with the next two
    std::uint32_t ifindex = 0;          // 0: none
    std::array<char, IF_NAMESIZE> device{};
    std::uint32_t asked_count = 0;
    std::uint64_t from = 0; // write and lower only
    std::uint64_t to = 0;
    std::uint64_t sequence = 0; // of this writer's requests, from 1
    std::array<std::int32_t, most_asked> asked{};
};
static_assert(sizeof(Request) == 640 && std::is_trivially_copyable_v<Request>);

struct Answer {
    std::uint32_t version = protocol_version;
    std::uint32_t kind = 0; // Outcome::Kind; what succeeded is `written`
    std::int32_t code = 0;  // errno of a failure
    std::uint32_t error_size = 0;
    std::uint64_t value = 0;
    std::uint64_t sequence = 0;     // of its request; 0: of none, it has started
    std::uint64_t netns_cookie = 0; // visit only, as are these
    sys::NetnsSysctls sysctls;
    sys::ConntrackTimeouts timeouts;
    std::uint32_t has_timeouts = 0; // 0 or 1, as the next
    std::uint32_t in_user_ns = 0;   // whether sys::Visit has:
    std::uint32_t user_ns_owner = 0;
    std::uint32_t found_count = 0; // of what links are
    std::uint32_t looked_at = 0;   // sockets only, as the next: sys::OpenSockets
    std::int32_t next = -1;        // -1: none
    std::array<sys::LinkTarget, most_asked> found{};
    std::array<char, 912> error{};
};
inline constexpr std::size_t most_passed = 5; // descriptors with one answer
static_assert(sizeof(sys::NetnsSysctls) == 16 && sizeof(sys::ConntrackTimeouts) == 32 &&
              sizeof(sys::LinkTarget) == 16 && sizeof(Answer) == 2048 && std::is_trivially_copyable_v<Answer>);

inline Answer answer(Outcome::Kind kind, std::uint64_t value, int code, std::string_view error) {
    Answer answer{.kind = static_cast<std::uint32_t>(kind), .code = code, .value = value};
    answer.error_size = static_cast<std::uint32_t>(std::min(error.size(), answer.error.size()));
    std::ranges::copy(error.substr(0, answer.error_size), answer.error.begin());
    return answer;
}

inline Answer refusal(const Error& error) { return answer(Outcome::Kind::failed, 0, error.code, error.message); }

inline Request request_of(Operation operation, TunableId tunable, const Scope& scope) {
    const ListenerRef listener = scope.listener.value_or(ListenerRef{});
    const QueueRef queue = scope.queue.value_or(QueueRef{});
    Request request{.operation = operation,
                    .tunable = static_cast<std::uint32_t>(tunable),
                    .netns_inode = scope.netns.inode,
                    .netns_cookie = scope.netns.cookie,
                    .listener_cookie = listener.cookie,
                    .listener_inode = listener.inode,
                    .netns_pid = scope.netns_pid,
                    .listener_pid = listener.pid,
                    .listener_fd = listener.fd,
                    .queue = queue.queue,
                    .ifindex = queue.device.size() < IF_NAMESIZE ? queue.ifindex : 0};
    std::ranges::copy(std::string_view(queue.device).substr(0, IF_NAMESIZE - 1), request.device.begin());
    return request;
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
    if (request.ifindex != 0)
        scope.queue = QueueRef{.device = {request.device.data(), ::strnlen(request.device.data(), IF_NAMESIZE)},
                               .ifindex = request.ifindex,
                               .queue = request.queue};
    return scope;
}

} // namespace bpftune::actuators

// SPDX-License-Identifier: Apache-2.0
// What `top`, `history` and `restore` say in the same words.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "core/change.hpp"
#include "core/text.hpp"

namespace bpftune {

// "eth0 rx-0", "eth0 irq 25"
inline std::string queue_text(TunableId tunable, const QueueRef& queue) {
    return printable(fmt::format("{} {}{}", queue.device, is_of_interrupt(tunable) ? "irq " : "rx-", queue.queue));
}

// The object of a change, by its tunable and the name of that: "listener.backlog of 10.0.0.1:80", "net.core.somaxconn
// of netns 4026531840".
inline std::string object_text(TunableId tunable, std::string_view name, const Scope& scope) {
    if ((is_of_queue(tunable) || is_of_interrupt(tunable)) && scope.queue)
        return fmt::format("{} of {}", name, queue_text(tunable, *scope.queue));
    return is_of_socket(tunable) && scope.listener ? fmt::format("{} of {}", name, to_string(scope.listener->local))
                                                   : fmt::format("{} of netns {}", name, scope.netns.inode);
}

// "shop/web-0"; of one whose name is not known, its UID.
inline std::string pod_text(const Pod& pod) { return pod.ns.empty() ? pod.name : pod.ns + "/" + pod.name; }

// A network namespace, by its pod where that is known.
inline std::string netns_text(const NetnsId& netns, const std::optional<Pod>& pod) {
    return pod ? pod_text(*pod) : fmt::format("netns {}", netns.inode);
}

// Of a listener's `limit` that is not somaxconn's of now, where the argument of listen() was not seen (Binds::unknown).
inline std::string unknown_wish(std::string_view limit, std::string_view somaxconn) {
    return fmt::format("{} is what the application asked for, or what net.core.somaxconn ({} now) was when it called "
                       "listen(): a restart of the application would tell, listener.backlog named in the policy raises "
                       "it in either case",
                       limit, somaxconn);
}

// Of an application that asked for all that somaxconn allowed (Go reads it and passes it on).
inline std::string asked_for_all(std::string_view asked) {
    return fmt::format("asked for {}, which is all that net.core.somaxconn allowed: taken for as much as is allowed",
                       asked);
}

// Of a socket whose limit, `limit` now, is not what was written to it: only its holder can have set it, and has a new
// wish.
inline std::string set_anew(TunableId tunable, std::string_view limit) {
    return fmt::format("the application {} and has {} now: it is as it wants it",
                       tunable == TunableId::udp_rcvbuf ? "set SO_RCVBUF itself" : "called listen() again", limit);
}

} // namespace bpftune

// SPDX-License-Identifier: Apache-2.0
#include "core/change.hpp"

#include <utility>

namespace bpftune {

ObjectKey key_of(TunableId tunable, const Scope& scope) {
    std::uint64_t object = 0;
    if (is_of_socket(tunable) && scope.listener) object = scope.listener->cookie;
    if ((is_of_queue(tunable) || is_of_interrupt(tunable)) && scope.queue)
        object = std::uint64_t{scope.queue->ifindex} << 32 | scope.queue->queue;
    return {tunable, scope.netns, object};
}

Scope scope_of(const Listener& listener) {
    return {listener.netns, listener.pid,
            ListenerRef{listener.cookie, listener.inode, listener.local, listener.pid, listener.fd}, listener.pod};
}

Scope scope_of(const UdpSocket& socket) {
    return {socket.netns, socket.pid, ListenerRef{socket.cookie, socket.inode, socket.local, socket.pid, socket.fd},
            socket.pod};
}

Scope scope_of(const SteeredDevice& device) {
    return {.netns = device.netns,
            .netns_pid = device.pid,
            .listener = std::nullopt,
            .pod = device.pod,
            .queue = QueueRef{.device = device.name, .ifindex = device.ifindex, .queue = 0}};
}

Scope scope_of(const DeviceInterrupt& interrupt) {
    return {.netns = interrupt.netns,
            .netns_pid = interrupt.pid,
            .listener = std::nullopt,
            .pod = std::nullopt,
            .queue = QueueRef{.device = interrupt.device, .ifindex = interrupt.ifindex, .queue = interrupt.irq}};
}

std::string_view to_string(ChangeState state) {
    switch (state) {
    case ChangeState::recommended: return "recommended";
    case ChangeState::advice: return "advice";
    case ChangeState::applied: return "applied";
    case ChangeState::kept: return "kept";
    case ChangeState::rolled_back: return "rolled_back";
    case ChangeState::restored: return "restored";
    case ChangeState::yielded: return "yielded";
    case ChangeState::gone: return "gone";
    case ChangeState::failed: return "failed";
    }
    std::unreachable();
}

std::optional<ChangeState> change_state(std::string_view text) {
    for (const ChangeState state : all_change_states)
        if (to_string(state) == text) return state;
    return std::nullopt;
}

} // namespace bpftune

// SPDX-License-Identifier: Apache-2.0
#include "kube/turn.hpp"

namespace bpftune::kube {

bool Turn::take_look() {
    if (looks_left_ == 0) return false;
    --looks_left_;
    return true;
}

// What is checked after this is true of the process whose cgroups were read.
Turn::Seen& Turn::look_at(int pid) {
    const auto [entry, is_new] = seen_.try_emplace(pid);
    if (!is_new) return entry->second;
    if (auto cgroup = processes_.owner(pid)) entry->second.owner = std::make_shared<Owner>(std::move(*cgroup), now_);
    if (entry->second.owner) entry->second.started = processes_.started(pid);
    return entry->second;
}

Turn::Inside Turn::in_netns(int thread, std::uint32_t inode) {
    if (!take_look()) return {};
    const auto process = processes_.process_of(thread);
    if (!process) return {};
    const Seen& seen = look_at(*process);
    const auto its_own = processes_.netns_inode(*process);
    if (its_own == inode) return {.owner = seen.owner};
    return {.is_visiting = *process != thread && its_own.has_value()};
}

Turn::Holder Turn::holder_of(const Socket& socket, MonoTime since) {
    if (!take_look()) return {};
    const Seen& seen = look_at(socket.pid);
    if (!seen.started || *seen.started > since) return {};
    const bool is_asked = socket.netns != 0 && seen.owner && seen.owner->cgroup.is_of_pod();
    const bool is_inside = is_asked && processes_.netns_inode(socket.pid) == socket.netns;
    if (socket.fd >= 0 && socket.inode != 0 && !processes_.may_hold_socket(socket.pid, socket.fd, socket.inode))
        return {};
    return {.owner = seen.owner, .is_inside = is_inside};
}

} // namespace bpftune::kube

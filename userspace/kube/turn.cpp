// SPDX-License-Identifier: Apache-2.0
#include "kube/turn.hpp"

#include <array>
#include <functional>

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

std::optional<std::uint32_t> Turn::netns_of(int pid, Seen& seen) {
    if (!seen.netns) seen.netns = processes_.netns_inode(pid);
    return *seen.netns;
}

Turn::Inside Turn::in_netns(int thread, std::uint32_t inode) {
    if (!take_look()) return {};
    const auto process = processes_.process_of(thread);
    if (!process) return {};
    Seen& seen = look_at(*process);
    const auto its_own = netns_of(*process, seen);
    if (its_own == inode) return {.owner = seen.owner};
    return {.is_visiting = *process != thread && its_own.has_value()};
}

std::vector<Turn::Holder> Turn::holders_of(int pid, std::span<const Socket> sockets) {
    std::vector<Holder> holders(sockets.size());
    if (!take_look()) return holders;
    Seen& seen = look_at(pid);
    std::vector<Processes::Descriptor> asked;
    for (const Socket& socket : sockets)
        if (seen.was_there(socket.since)) asked.push_back({.fd = socket.fd, .inode = socket.inode});
    const auto is_known = [](const Processes::Descriptor& each) { return each.fd >= 0 && each.inode != 0; };
    std::erase_if(asked, std::not_fn(is_known));
    const std::vector<bool> held = asked.empty() ? std::vector<bool>() : processes_.may_hold(pid, asked);
    std::size_t next = 0; // of `held`
    for (std::size_t i = 0; i < sockets.size(); ++i) {
        const Socket& socket = sockets[i];
        if (!seen.was_there(socket.since)) continue;
        if (is_known({.fd = socket.fd, .inode = socket.inode}) && !held[next++]) continue;
        holders[i].owner = seen.owner;
        const bool is_asked = socket.netns != 0 && seen.owner && seen.owner->cgroup.is_of_pod();
        holders[i].is_inside = is_asked && netns_of(pid, seen) == socket.netns;
    }
    return holders;
}

OwnerPtr Turn::process_at(int pid, MonoTime since) {
    return holders_of(pid, std::array{Socket{.since = since}})[0].owner;
}

} // namespace bpftune::kube

// SPDX-License-Identifier: Apache-2.0
#include "core/snapshot.hpp"

#include <algorithm>

#include <utility>

namespace bpftune {

std::string_view to_string(Probe probe) {
    switch (probe) {
    case Probe::listen: return "listen";
    case Probe::time_wait: return "time_wait";
    case Probe::softirq: return "softirq";
    case Probe::conntrack: return "conntrack";
    case Probe::sysctl: return "sysctl";
    case Probe::buffers: return "buffers";
    case Probe::neighbours: return "neighbours";
    }
    std::unreachable();
}

std::string_view to_string(Rung rung) {
    switch (rung) {
    case Rung::fentry: return "fentry";
    case Rung::tracepoint: return "tracepoint";
    case Rung::cgroup: return "cgroup";
    case Rung::netlink: return "netlink";
    case Rung::procfs: return "procfs";
    case Rung::none: return "unavailable";
    }
    std::unreachable();
}

std::string_view to_string(Binds binds) {
    switch (binds) {
    case Binds::somaxconn: return "somaxconn";
    case Binds::application: return "application";
    case Binds::syn_backlog: return "syn_backlog";
    case Binds::unknown: return "unknown";
    }
    std::unreachable();
}

Binds accept_queue_binds(const Listener& listener) {
    if (listener.asked && *listener.asked > listener.limit) return Binds::somaxconn;
    if (listener.limit == listener.somaxconn) return Binds::somaxconn;
    const bool is_below = listener.limit < listener.somaxconn;
    return !listener.asked && is_below ? Binds::unknown : Binds::application;
}

bool can_be_clients(std::uint64_t under_way, double completed_a_second) {
    constexpr double longest_handshake_seconds = 3;
    return static_cast<double>(under_way) <= completed_a_second * longest_handshake_seconds;
}

const std::string* Snapshot::netns_name(const NetnsId& netns) const {
    const auto names = std::ranges::lower_bound(netns_names, netns, {}, &NetnsNames::netns);
    const bool found = names != netns_names.end() && names->netns == netns && !names->bound.empty();
    return found ? &names->bound.front() : nullptr;
}

} // namespace bpftune

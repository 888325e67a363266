// SPDX-License-Identifier: Apache-2.0
#include "core/snapshot.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "core/words.hpp"

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

CpuWork work_of(const SoftirqCpu& cpu, Nanoseconds interval) {
    const double busy = cpu.softirq_percent.value_or(0) / 100;
    return {.cpu = cpu.cpu,
            .lost = cpu.window_lost,
            .softirq_us = static_cast<std::uint64_t>(std::llround(busy * Seconds(interval).count() * 1e6))};
}

std::string_view to_string(MemoryPool pool) {
    switch (pool) {
    case MemoryPool::tcp: return "tcp";
    case MemoryPool::udp: return "udp";
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

std::string_view to_string(PodSource source) {
    switch (source) {
    case PodSource::cgroup: return "cgroup";
    case PodSource::logs: return "logs";
    case PodSource::runtime: return "cri";
    }
    std::unreachable();
}

std::string_view to_string(QosClass qos) {
    switch (qos) {
    case QosClass::best_effort: return "BestEffort";
    case QosClass::burstable: return "Burstable";
    case QosClass::guaranteed: return "Guaranteed";
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
    // The somaxconn of when it called listen() may have been larger than that of now, or smaller.
    return listener.asked ? Binds::application : Binds::unknown;
}

bool can_be_clients(std::uint64_t under_way, double completed_a_second) {
    constexpr double longest_handshake_seconds = 3;
    return static_cast<double>(under_way) <= completed_a_second * longest_handshake_seconds;
}

namespace {

std::optional<std::int64_t> parse_integer(std::string_view text) {
    std::int64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc{} && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

bool is_same_word(std::string_view a, std::string_view b) {
    const auto one = parse_integer(a), other = parse_integer(b);
    return one && other ? *one == *other : a == b;
}

} // namespace

bool is_same_setting(std::string_view a, std::string_view b) {
    while (true) {
        const std::size_t end = std::min(a.find(' '), a.size()), other_end = std::min(b.find(' '), b.size());
        if (!is_same_word(a.substr(0, end), b.substr(0, other_end))) return false;
        if (end == a.size() || other_end == b.size()) return end == a.size() && other_end == b.size();
        a.remove_prefix(end + 1);
        b.remove_prefix(other_end + 1);
    }
}

bool ExpectedSysctl::is_met() const { return found && is_same_setting(*found, expected); }

std::string to_string(const OtherHolder& other) {
    if (!other.pod) return other.unit.empty() ? "process 1" : other.unit;
    return pod_text(*other.pod) + (other.pod->container.empty() ? "" : "/" + other.pod->container);
}

const PodFacts* Snapshot::facts_of(const Pod& pod) const {
    const auto uid_of = [](const PodFacts& facts) -> const std::string& { return facts.pod.uid; };
    const auto found = std::ranges::lower_bound(pods, pod.uid, {}, uid_of);
    return found == pods.end() || found->pod.uid != pod.uid ? nullptr : &*found;
}

const NetnsNames* Snapshot::names_of(const NetnsId& netns) const {
    const auto names = std::ranges::lower_bound(netns_names, netns, {}, &NetnsNames::netns);
    return names != netns_names.end() && names->netns == netns ? &*names : nullptr;
}

const std::string* Snapshot::netns_name(const NetnsId& netns) const {
    const NetnsNames* names = names_of(netns);
    return names != nullptr && !names->bound.empty() ? &names->bound.front() : nullptr;
}

} // namespace bpftune

// SPDX-License-Identifier: Apache-2.0
#include "signals/steering.hpp"

#include <algorithm>
#include <cmath>

namespace bpftune::signals {
namespace {

// Of the time of a CPU that has none left: who sends to this node by veth takes the rest, and waits for these packets.
constexpr double least_percent_of_all = 75;
constexpr double most_idle_percent = 5;
constexpr double least_share = 0.25;
// Ticks come sooner where packets are lost; a rate is of about as long as what is known of the CPUs.
constexpr Nanoseconds shortest_look = std::chrono::milliseconds(900);
constexpr Nanoseconds longest_look = std::chrono::seconds(30); // where many namespaces take turns

double time_for_packets(const SoftirqCpu& row) {
    return std::max(row.softirq_percent.value_or(0), row.needed_percent.value_or(0));
}

bool is_hot(const SoftirqCpu& row) {
    const bool has_none_left = row.idle_percent && *row.idle_percent <= most_idle_percent;
    return time_for_packets(row) >= (has_none_left ? least_percent_of_all : HotCpu::least_percent);
}

HotCpu look_of(std::span<const SoftirqCpu> rows, unsigned cpu, Nanoseconds interval) {
    HotCpu look{.cpu = cpu, .length = interval};
    for (const SoftirqCpu& row : rows) {
        look.processed += row.window_processed;
        look.lost += row.window_lost;
        look.softirq_us += static_cast<std::uint64_t>(
            std::llround(row.softirq_percent.value_or(0) / 100 * Seconds(interval).count() * 1e6));
    }
    return look;
}

std::optional<std::uint64_t> whole(const std::optional<Cpus>& cpus) {
    return cpus && !cpus->has_more ? std::optional(cpus->first) : std::nullopt;
}

} // namespace

std::optional<HotCpu> HotCpus::tick(std::span<const SoftirqCpu> rows, Nanoseconds interval) {
    const auto still = looks_.empty() ? rows.end() : std::ranges::find(rows, looks_.front().cpu, &SoftirqCpu::cpu);
    const bool goes_on = still != rows.end() && is_hot(*still);
    if (!goes_on) looks_.clear();
    const auto hottest = goes_on ? still : std::ranges::max_element(rows, {}, time_for_packets);
    if (hottest == rows.end() || !is_hot(*hottest)) return std::nullopt;
    looks_.push_back(look_of(rows, hottest->cpu, interval));
    HotCpu sum{.cpu = hottest->cpu};
    for (const HotCpu& look : looks_) {
        sum.length += look.length;
        sum.processed += look.processed;
        sum.lost += look.lost;
        sum.softirq_us += look.softirq_us;
    }
    while (sum.length > remembered && looks_.size() > 1) {
        const HotCpu& first = looks_.front();
        sum.length -= first.length;
        sum.processed -= first.processed;
        sum.lost -= first.lost;
        sum.softirq_us -= first.softirq_us;
        looks_.pop_front();
    }
    return sum;
}

void SteeredDevices::begin(std::optional<double> packets_per_second, MonoTime now) {
    packets_per_second_ = packets_per_second;
    now_ = now;
    if (!packets_per_second) counts_.clear();
    std::erase_if(counts_, [&](const auto& entry) { return now - entry.second.when > longest_look; });
    std::erase_if(known_, [&](const auto& entry) {
        return !held_.contains(entry.first) && now - entry.second.wanted > remembered;
    });
    for (auto& [place, known] : known_) known.row.rps_cpus.reset();
}

bool SteeredDevices::is_busy(const NetnsId& netns, std::string_view name) const {
    const auto count = counts_.find({netns, std::string(name)});
    return packets_per_second_ && count != counts_.end() && count->second.per_second &&
           *count->second.per_second >= least_share * *packets_per_second_;
}

bool SteeredDevices::wants(const NetnsId& netns, std::string_view name, std::uint64_t packets) {
    if (packets_per_second_) {
        const auto [entry, is_new] =
            counts_.try_emplace({netns, std::string(name)}, Count{.packets = packets, .when = now_});
        Count& count = entry->second;
        if (packets < count.packets) count = {.packets = packets, .when = now_}; // another one by this name
        const Nanoseconds since = now_ - count.when;
        if (!is_new && since >= shortest_look)
            count = {.packets = packets,
                     .when = now_,
                     .per_second = static_cast<double>(packets - count.packets) / Seconds(since).count()};
    }
    if (is_busy(netns, name)) return true;
    const auto is_here = [&](const Place& place) { return place.first == netns; };
    return std::ranges::any_of(held_, [&](const Place& place) {
        const auto known = known_.find(place);
        return is_here(place) && (known == known_.end() || known->second.is_missed || known->second.row.name == name);
    });
}

void SteeredDevices::update(const probes::NetnsReading& netns, std::span<const probes::DeviceReading> devices) {
    for (const probes::DeviceReading& device : devices) {
        const Place place{netns.netns, device.ifindex};
        const bool busy = is_busy(netns.netns, device.name);
        if (!held_.contains(place) && (!busy || (!known_.contains(place) && known_.size() >= most_remembered)))
            continue;
        Known& known = known_[place];
        known.is_missed = false;
        if (busy || known.wanted == MonoTime()) known.wanted = now_;
        known.row = {.netns = netns.netns,
                     .pid = netns.pid,
                     .pod = std::nullopt,
                     .name = device.name,
                     .ifindex = device.ifindex,
                     .queues = device.queues,
                     .is_hardware = device.is_hardware,
                     .is_read_only = device.is_read_only,
                     .has_more_cpus = device.rps_cpus && device.rps_cpus->has_more,
                     .near = device.near ? std::optional(device.near->first) : std::nullopt,
                     .rps_cpus = whole(device.rps_cpus),
                     .read = now_};
    }
    std::erase_if(held_, [&](const Place& place) {
        const bool is_there =
            std::ranges::find(devices, place.second, &probes::DeviceReading::ifindex) != devices.end();
        if (place.first != netns.netns || is_there) return false;
        const auto known = known_.find(place);
        if (known != known_.end() && !std::exchange(known->second.is_missed, true)) return false;
        known_.erase(place);
        return true;
    });
}

void SteeredDevices::gone(const NetnsId& netns) {
    std::erase_if(known_, [&](const auto& entry) { return entry.first.first == netns; });
    std::erase_if(counts_, [&](const auto& entry) { return entry.first.first == netns; });
    std::erase_if(held_, [&](const Place& place) { return place.first == netns; });
}

void SteeredDevices::forget_all_but(std::span<const probes::NetnsReading> there) {
    if (known_.empty() && held_.empty()) return;
    std::set<NetnsId> all;
    for (const probes::NetnsReading& netns : there) all.insert(netns.netns);
    std::set<NetnsId> ended;
    for (const auto& [place, known] : known_)
        if (!all.contains(place.first)) ended.insert(place.first);
    for (const Place& place : held_)
        if (!all.contains(place.first)) ended.insert(place.first);
    for (const NetnsId& netns : ended) gone(netns);
}

void SteeredDevices::hold(const ObjectKey& queue) { held_.insert(place_of(queue)); }

bool SteeredDevices::holds_any_in(const NetnsId& netns) const {
    return std::ranges::any_of(held_, [&](const Place& place) { return place.first == netns; });
}

std::vector<SteeredDevice> SteeredDevices::rows() const {
    std::vector<SteeredDevice> rows;
    for (const auto& [place, known] : known_) {
        rows.push_back(known.row);
        const auto count = counts_.find({place.first, known.row.name});
        if (count != counts_.end()) rows.back().packets_per_second = count->second.per_second.value_or(0);
    }
    return rows;
}

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
#include "signals/steering.hpp"

#include <algorithm>
#include <set>

namespace bpftune::signals {
namespace {

// Of the time of a CPU that has none left: who sends to this node by veth takes the rest, and waits for these packets.
constexpr double least_percent_of_all = 75;
constexpr double most_idle_percent = 5;
constexpr double least_share = 0.25;
// Ticks come sooner where packets are lost; a rate is of about as long as what is known of the CPUs.
constexpr Nanoseconds shortest_look = std::chrono::milliseconds(900);
constexpr Nanoseconds longest_look = std::chrono::seconds(30); // where many namespaces take turns
constexpr Nanoseconds shortest_mean = std::chrono::seconds(3);

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
        const CpuWork& work = look.each.emplace_back(work_of(row, interval));
        look.processed += row.window_processed;
        look.lost += work.lost;
        look.softirq_us += work.softirq_us;
    }
    return look;
}

HotCpu sum_of(const std::deque<HotCpu>& looks) {
    HotCpu sum{.cpu = looks.front().cpu};
    std::map<unsigned, CpuWork> each;
    for (const HotCpu& look : looks) {
        sum.length += look.length;
        sum.processed += look.processed;
        sum.lost += look.lost;
        sum.softirq_us += look.softirq_us;
        for (const CpuWork& more : look.each) {
            CpuWork& work = each.try_emplace(more.cpu, CpuWork{.cpu = more.cpu}).first->second;
            work.lost += more.lost;
            work.softirq_us += more.softirq_us;
        }
    }
    for (const auto& [cpu, work] : each) sum.each.push_back(work);
    return sum;
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
    Nanoseconds length{};
    for (const HotCpu& look : looks_) length += look.length;
    for (; length > remembered && looks_.size() > 1; looks_.pop_front()) length -= looks_.front().length;
    return sum_of(looks_);
}

void ReceiveCount::add(const sys::Received& received, MonoTime now) {
    const auto is_another = [&](const sys::Received& before) { // device by this name
        return received.packets < before.packets || received.bytes < before.bytes;
    };
    if (!looks_.empty() && is_another(looks_.back().received)) *this = {};
    if (!looks_.empty() && now - looks_.back().when < shortest_look) return;
    looks_.push_back({received, now});
    // One look as old as the mean may be, or older: what is before it says nothing more.
    const auto old = [&](std::size_t i) { return now - looks_[i].when >= HotCpus::remembered; };
    while (looks_.size() > 2 && old(1)) looks_.erase(looks_.begin());
}

std::optional<ReceiveRate> ReceiveCount::per_second_since(std::size_t first) const {
    if (first + 1 >= looks_.size()) return std::nullopt;
    const Look& from = looks_[first];
    const Look& to = looks_.back();
    const double seconds = Seconds(to.when - from.when).count();
    return ReceiveRate{.packets = static_cast<double>(to.received.packets - from.received.packets) / seconds,
                       .bytes = static_cast<double>(to.received.bytes - from.received.bytes) / seconds};
}

std::optional<ReceiveRate> ReceiveCount::mean_per_second() const {
    const bool is_long = !looks_.empty() && looks_.back().when - looks_.front().when >= shortest_mean;
    return is_long ? per_second_since(0) : std::nullopt;
}

void SteeredDevices::begin(std::optional<double> packets_per_second, MonoTime now) {
    packets_per_second_ = packets_per_second;
    now_ = now;
    std::erase_if(counts_, [&](const auto& entry) {
        const auto& [device, count] = entry;
        return now - count.last() > longest_look || (!packets_per_second && !is_held(device.first, device.second));
    });
    std::erase_if(known_, [&](const auto& entry) {
        const auto& [place, known] = entry;
        return !held_.contains(place) && !known.is_left_alone && now - known.wanted > remembered;
    });
    for (auto& [place, known] : known_) known.row.rps_cpus.reset();
    for (auto& [netns, round] : rounds_) round.wanted = 0;
}

bool SteeredDevices::is_held(const NetnsId& netns, std::string_view name) const {
    return std::ranges::any_of(held_, [&](const auto& held) {
        const auto known = known_.find(held.first);
        return held.first.first == netns && known != known_.end() && known->second.row.name == name;
    });
}

// What is held there is looked for among all.
bool SteeredDevices::is_search_in(const NetnsId& netns) const {
    return std::ranges::any_of(held_, [&](const auto& held) {
        const auto known = known_.find(held.first);
        return held.first.first == netns && (known == known_.end() || known->second.is_missed);
    });
}

bool SteeredDevices::is_busy(const NetnsId& netns, std::string_view name) const {
    const auto count = counts_.find({netns, std::string(name)});
    return packets_per_second_ && count != counts_.end() &&
           count->second.per_second().value_or(ReceiveRate()).packets >= least_share * *packets_per_second_;
}

bool SteeredDevices::wants(const NetnsId& netns, std::string_view name, const sys::Received& received) {
    const bool is_ours = is_held(netns, name);
    if (packets_per_second_ || is_ours) counts_[{netns, std::string(name)}].add(received, now_);
    if (!is_ours && !is_busy(netns, name) && !is_search_in(netns)) return false;
    Round& round = rounds_.try_emplace(netns, Round{.began = now_}).first->second;
    const std::size_t number = round.wanted++;
    return number >= round.from && number < round.from + most_at_once;
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
                     .is_denied = device.is_denied,
                     .has_more_cpus = device.rps_cpus && device.rps_cpus->has_more,
                     .near = device.near ? std::optional(device.near->first) : std::nullopt,
                     .rps_cpus = whole(device.rps_cpus),
                     .read = now_};
    }
    Round& round = rounds_.try_emplace(netns.netns, Round{.began = now_}).first->second;
    if (round.wanted > round.from + most_at_once) {
        round.from += most_at_once;
        return;
    }
    forget_missing(netns.netns, round.began);
    rounds_.erase(netns.netns);
}

// What is ours and was not come upon since the round began: at the end of two rounds, the second of which asked all.
void SteeredDevices::forget_missing(const NetnsId& netns, MonoTime began) {
    std::erase_if(held_, [&](const auto& held) {
        const Place& place = held.first;
        const auto known = known_.find(place);
        if (place.first != netns || (known != known_.end() && known->second.row.read >= began)) return false;
        if (known != known_.end() && !std::exchange(known->second.is_missed, true)) return false;
        known_.erase(place);
        return true;
    });
}

void SteeredDevices::gone(const NetnsId& netns) {
    std::erase_if(known_, [&](const auto& entry) { return entry.first.first == netns; });
    std::erase_if(counts_, [&](const auto& entry) { return entry.first.first == netns; });
    std::erase_if(held_, [&](const auto& held) { return held.first.first == netns; });
    rounds_.erase(netns);
}

void SteeredDevices::forget_all_but(std::span<const probes::NetnsReading> there) {
    if (known_.empty() && held_.empty() && rounds_.empty()) return;
    std::set<NetnsId> all;
    for (const probes::NetnsReading& netns : there) all.insert(netns.netns);
    std::set<NetnsId> ended;
    for (const auto& [place, known] : known_)
        if (!all.contains(place.first)) ended.insert(place.first);
    for (const auto& [place, queue] : held_)
        if (!all.contains(place.first)) ended.insert(place.first);
    for (const auto& [netns, round] : rounds_)
        if (!all.contains(netns)) ended.insert(netns);
    for (const NetnsId& netns : ended) gone(netns);
}

void SteeredDevices::let_go_unless(const Says& is_ours, const Says& is_left_alone) {
    std::erase_if(held_, [&](const auto& held) {
        if (is_ours(held.second)) return false;
        if (const auto known = known_.find(held.first); known != known_.end())
            known->second.is_left_alone = is_left_alone(held.second);
        return true;
    });
}

bool SteeredDevices::holds_any_in(const NetnsId& netns) const {
    return std::ranges::any_of(held_, [&](const auto& held) { return held.first.first == netns; });
}

std::vector<SteeredDevice> SteeredDevices::rows() const {
    std::vector<SteeredDevice> rows;
    for (const auto& [place, known] : known_) {
        rows.push_back(known.row);
        const auto count = counts_.find({place.first, known.row.name});
        if (count == counts_.end()) continue;
        const ReceiveRate now = count->second.per_second().value_or(ReceiveRate());
        const ReceiveRate mean = count->second.mean_per_second().value_or(ReceiveRate());
        rows.back().packets_per_second = now.packets;
        rows.back().mean_packets_per_second = mean.packets;
        rows.back().bytes_per_second = now.bytes;
        rows.back().mean_bytes_per_second = mean.bytes;
    }
    return rows;
}

} // namespace bpftune::signals

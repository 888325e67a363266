// SPDX-License-Identifier: Apache-2.0
#include "signals/interrupts.hpp"

#include <algorithm>
#include <bit>
#include <utility>

namespace bpftune::signals {
namespace {

constexpr Nanoseconds shortest_look = std::chrono::milliseconds(900); // ticks come sooner where packets are lost
constexpr Nanoseconds longest_look = std::chrono::seconds(30);

std::string lower_case(std::string_view text) {
    std::string lower(text);
    for (char& c : lower)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return lower;
}

std::optional<std::uint64_t> taken_by(const probes::InterruptReading& reading, unsigned cpu) {
    const auto found = std::ranges::find(reading.taken, cpu, &std::pair<unsigned, std::uint64_t>::first);
    return found == reading.taken.end() ? std::nullopt : std::optional(found->second);
}

// Where the kernel does not tell to which of several it is delivered, that is not known.
std::optional<unsigned> cpu_of(const probes::InterruptReading& reading) {
    const Cpus cpus = reading.delivered_to.value_or(reading.cpus);
    if (cpus.has_more || std::popcount(cpus.first) != 1) return std::nullopt;
    return static_cast<unsigned>(std::countr_zero(cpus.first));
}

} // namespace

bool receives(std::string_view name) {
    const std::string lower = lower_case(name);
    const auto has = [&](std::string_view word) { return lower.contains(word); };
    if (has("rx") || has("input")) return true;
    return !name.empty() && !has("tx") && !has("output") && !has("config") && !has("async") && !has("mgmnt");
}

void Interrupts::begin(std::optional<unsigned> hot, MonoTime now) {
    if (hot != hot_) counts_.clear();
    hot_ = hot;
    now_ = now;
    std::erase_if(received_, [&](const auto& entry) { return now - entry.second.last() > longest_look; });
    std::erase_if(counts_, [&](const auto& entry) { return now - entry.second.when > longest_look; });
    std::erase_if(known_, [&](const auto& entry) {
        return !held_.contains(entry.first) && now - entry.second.wanted > remembered;
    });
    for (auto& [place, known] : known_) {
        known.row.cpus.reset();
        known.row.per_second = 0;
        known.row.packets_per_second = 0;
        known.row.bytes_per_second = 0;
    }
}

void Interrupts::count(const probes::InterruptReading& reading) {
    const auto taken = hot_ ? taken_by(reading, *hot_) : std::nullopt;
    if (!taken) return;
    const auto [entry, is_new] =
        counts_.try_emplace(Place{reading.ifindex, reading.irq}, Count{.taken = *taken, .when = now_});
    Count& count = entry->second;
    if (*taken < count.taken) count = {.taken = *taken, .when = now_}; // another one by this number
    const Nanoseconds since = now_ - count.when;
    if (!is_new && since >= shortest_look)
        count = {.taken = *taken,
                 .when = now_,
                 .per_second = static_cast<double>(*taken - count.taken) / Seconds(since).count()};
}

void Interrupts::note(const probes::NetnsReading& host, const probes::InterruptReading& reading) {
    const Place place{reading.ifindex, reading.irq};
    const auto count = counts_.find(place);
    const double per_second = count == counts_.end() ? 0 : count->second.per_second.value_or(0);
    const bool is_busy = per_second >= least_busy && receives(reading.name);
    const bool is_kept = held_.contains(place) || known_.contains(place);
    if (!is_kept && (!is_busy || known_.size() >= most_remembered)) return;
    Known& known = known_[place];
    if (is_busy || known.wanted == MonoTime()) known.wanted = now_;
    const ReceiveRate now = received_.at(reading.ifindex).per_second().value_or(ReceiveRate());
    const ReceiveRate mean = received_.at(reading.ifindex).mean_per_second().value_or(ReceiveRate());
    known.row = {.netns = host.netns,
                 .pid = host.pid,
                 .device = reading.device,
                 .ifindex = reading.ifindex,
                 .packets_per_second = now.packets,
                 .mean_packets_per_second = mean.packets,
                 .bytes_per_second = now.bytes,
                 .mean_bytes_per_second = mean.bytes,
                 .irq = reading.irq,
                 .name = reading.name,
                 .per_second = is_busy ? per_second : 0,
                 .is_fixed = reading.is_fixed,
                 .has_more_cpus = reading.cpus.has_more,
                 .near = reading.near ? std::optional(reading.near->first) : std::nullopt,
                 .cpu = cpu_of(reading),
                 .cpus = reading.cpus.has_more ? std::nullopt : std::optional(reading.cpus.first),
                 .read = now_};
}

void Interrupts::update(const probes::NetnsReading& host, std::span<const probes::InterruptReading> readings) {
    for (const probes::InterruptReading& reading : readings) {
        received_[reading.ifindex].add(reading.received, now_); // once: the others of its device come too soon
        count(reading);
        note(host, reading);
    }
    std::erase_if(held_, [&](const auto& entry) {
        const Place& place = entry.first;
        const bool is_there = std::ranges::any_of(readings, [&](const probes::InterruptReading& reading) {
            return reading.ifindex == place.ifindex && reading.irq == place.irq;
        });
        if (!is_there) known_.erase(place);
        return !is_there;
    });
}

std::vector<DeviceInterrupt> Interrupts::rows() const {
    std::vector<DeviceInterrupt> rows;
    rows.reserve(known_.size());
    for (const auto& [place, known] : known_) rows.push_back(known.row);
    return rows;
}

} // namespace bpftune::signals

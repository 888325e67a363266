// SPDX-License-Identifier: Apache-2.0
#include "controller/guards.hpp"

#include <fmt/format.h>

namespace bpftune::controller {
namespace {

// A node whose tasks wait for memory a tenth of the time more than before pays for the raise with everyone's time. What
// other work does to this number within ten seconds is mostly below that.
constexpr double pressure_margin = 10;
// The kernel begins to reclaim and to kill near zero; a raise is not what the last twentieth is for.
constexpr std::uint64_t least_available_part = 20;
// More connections that get in are more softirq time, which is what a raise is for; that, and what other traffic does
// within ten seconds, is mostly below a quarter of all CPUs. Past it packets are handled at the cost of those who wait
// for them.
constexpr double softirq_margin = 25;

std::string memory_pressure(const Guards& before, const Guards& now) {
    if (!before.memory_pressure || !now.memory_pressure ||
        *now.memory_pressure <= *before.memory_pressure + pressure_margin)
        return {};
    return fmt::format("tasks wait for memory {:.0f} % of the time, {:.0f} % before", *now.memory_pressure,
                       *before.memory_pressure);
}

std::string memory_available(const Guards& before, const Guards& now, std::uint64_t memory_bytes) {
    const std::uint64_t least = memory_bytes / least_available_part;
    if (!before.memory_available_bytes || !now.memory_available_bytes || *before.memory_available_bytes < least ||
        *now.memory_available_bytes >= least)
        return {};
    return fmt::format("{} MiB of memory are left, {} MiB before", *now.memory_available_bytes >> 20,
                       *before.memory_available_bytes >> 20);
}

// The kernel's own thresholds are the margin: up to the next one TCP does not suffer (__sk_mem_raise_allocated).
std::string tcp_memory(const Guards& before, const Guards& now) {
    if (!before.tcp_memory || !now.tcp_memory) return {};
    const auto rose_past = [&](std::uint64_t threshold) {
        return now.tcp_memory->bytes > threshold && before.tcp_memory->bytes <= threshold;
    };
    const auto& [bytes, pressure, high] = *now.tcp_memory;
    const bool drops = rose_past(high);
    if (!drops && !rose_past(pressure)) return {};
    return fmt::format("TCP uses {} MiB, past the {} of tcp_mem, {} MiB; {} MiB before", bytes >> 20,
                       drops ? "limit" : "pressure", (drops ? high : pressure) >> 20, before.tcp_memory->bytes >> 20);
}

// It knows no pressure: beyond `low` a socket in which udp_rmem_min waits gets nothing (__sk_mem_raise_allocated). What
// is refused is given back, so a pool that is full is found somewhat below it.
std::string udp_memory(const Guards& before, const Guards& now) {
    if (!before.udp_memory || !now.udp_memory) return {};
    const auto was_full = [](const UdpMemory& pool) { return SocketMemory::is_near(pool.bytes, pool.low_bytes); };
    if (!was_full(*now.udp_memory) || was_full(*before.udp_memory)) return {};
    return fmt::format("UDP uses {} MiB of the {} of udp_mem past which it loses; {} MiB before",
                       now.udp_memory->bytes >> 20, now.udp_memory->low_bytes >> 20, before.udp_memory->bytes >> 20);
}

std::string softirq(const Guards& before, const Guards& now) {
    if (!before.softirq || !now.softirq || *now.softirq <= *before.softirq + softirq_margin) return {};
    return fmt::format("softirqs take {:.0f} % of all CPUs, {:.0f} % before", *now.softirq, *before.softirq);
}

} // namespace

std::string worsened(const Guards& before, const Guards& now, std::uint64_t memory_bytes) {
    for (std::string worse : {memory_pressure(before, now), memory_available(before, now, memory_bytes),
                              tcp_memory(before, now), udp_memory(before, now), softirq(before, now)})
        if (!worse.empty()) return worse;
    return {};
}

} // namespace bpftune::controller

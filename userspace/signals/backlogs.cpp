// SPDX-License-Identifier: Apache-2.0
#include "signals/backlogs.hpp"

#include <algorithm>
#include <utility>

namespace bpftune::signals {
namespace {

std::uint64_t lost_of(const SoftirqCpu& row) { return row.dropped - std::min(row.dropped, row.flow_limited); }

std::optional<sys::CpuInterrupts> time_of(std::span<const sys::CpuInterrupts> cpus, unsigned cpu) {
    const auto found = std::ranges::find(cpus, cpu, &sys::CpuInterrupts::cpu);
    return found == cpus.end() ? std::nullopt : std::optional(*found);
}

std::optional<double> softirq_percent(const std::optional<sys::CpuInterrupts>& from,
                                      const std::optional<sys::CpuInterrupts>& to) {
    if (!from || !to || to->total <= from->total || to->taken < from->taken) return std::nullopt;
    return std::min(100 * static_cast<double>(to->taken - from->taken) / static_cast<double>(to->total - from->total),
                    100.0);
}

std::optional<double> idle_percent(const std::optional<sys::CpuInterrupts>& from,
                                   const std::optional<sys::CpuInterrupts>& to) {
    if (!from || !to || to->total <= from->total || to->idle < from->idle) return std::nullopt; // it may be corrected
    return std::min(100 * static_cast<double>(to->idle - from->idle) / static_cast<double>(to->total - from->total),
                    100.0);
}

} // namespace

std::optional<double> Backlogs::needed_percent(const Window& window) {
    const auto came = static_cast<double>(window.processed + window.lost);
    if (!window.softirq_percent || window.lost == 0) return window.softirq_percent;
    return *window.softirq_percent * came / static_cast<double>(std::max<std::uint64_t>(window.processed, 1));
}

std::optional<BacklogLoss> Backlogs::loss_of(const Cpu& cpu, const Window& after) {
    if (!cpu.before || !cpu.last || cpu.last->lost == 0) return std::nullopt;
    BacklogLoss loss{
        .began = cpu.last->began,
        .packets = cpu.last->lost,
        .processed_per_second = static_cast<double>(cpu.last->processed) / Seconds(cpu.last->length).count(),
        .processed = cpu.last->processed,
        .squeezed = cpu.last->squeezed,
        .taken =
            std::chrono::duration_cast<Nanoseconds>(cpu.last->length * (cpu.last->softirq_percent.value_or(0) / 100))};
    for (const Window& window : {*cpu.before, *cpu.last, after}) {
        const auto needed = needed_percent(window);
        if (!needed) return std::nullopt;
        loss.needed_percent = std::max(loss.needed_percent, *needed);
        loss.waiting = std::max(loss.waiting, window.waiting);
    }
    return loss;
}

void Backlogs::tick(std::vector<SoftirqCpu>& rows, std::span<const sys::CpuInterrupts> cpus, MonoTime read,
                    MonoTime now) {
    const bool first = begin_ == MonoTime();
    const Nanoseconds length = now - begin_;
    const bool ends = first || (read == now && length >= shortest_window);
    for (SoftirqCpu& row : rows) {
        const auto [entry, is_new] = cpus_.try_emplace(row.cpu);
        Cpu& cpu = entry->second;
        const Mark mark{.processed = row.processed,
                        .lost = lost_of(row),
                        .squeezed = row.time_squeeze,
                        .time = time_of(cpus, row.cpu)};
        if (is_new) cpu.tick = cpu.begin = mark;
        const Mark tick = std::exchange(cpu.tick, mark);
        row.window_processed = mark.processed - tick.processed;
        row.window_lost = mark.lost - std::min(mark.lost, tick.lost);
        if (ends && !first) {
            const Window window{.processed = mark.processed - cpu.begin.processed,
                                .lost = mark.lost - std::min(mark.lost, cpu.begin.lost),
                                .squeezed = mark.squeezed - std::min(mark.squeezed, cpu.begin.squeezed),
                                .softirq_percent = softirq_percent(cpu.begin.time, mark.time),
                                .idle_percent = idle_percent(cpu.begin.time, mark.time),
                                .waiting = row.backlog.value_or(0),
                                .began = begin_,
                                .length = length};
            row.lost = loss_of(cpu, window);
            cpu.before = std::exchange(cpu.last, window);
        }
        if (ends) cpu.begin = mark;
        if (!cpu.last) continue;
        row.packets_per_second = static_cast<double>(cpu.last->processed) / Seconds(cpu.last->length).count();
        row.softirq_percent = cpu.last->softirq_percent;
        row.needed_percent = needed_percent(*cpu.last);
        row.idle_percent = cpu.last->idle_percent;
    }
    if (ends) begin_ = now;
}

} // namespace bpftune::signals

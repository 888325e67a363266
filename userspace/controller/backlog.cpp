// SPDX-License-Identifier: Apache-2.0
#include "controller/backlog.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "controller/gate.hpp"

namespace bpftune::controller {
namespace {

// Of the CPU's time, with what was lost. It is known to a few percent: /proc/stat counts in hundredths of a second, and
// some of it is charged to whoever was interrupted.
constexpr double most_needed_percent = 90;
constexpr std::uint64_t least_factor = 2;
constexpr std::uint64_t most_factor = 4;
constexpr std::uint64_t kernel_default = 1000; // net/core/hotdata.c, max_backlog: up to it there is nothing to try
constexpr std::uint64_t headroom = 2;          // for what waits at a tick, which is not what waits at most

ObjectKey limit_of(const Snapshot& snapshot) { return {TunableId::netdev_max_backlog, snapshot.host}; }

bool works_off(const SoftirqCpu& cpu) {
    return cpu.lost->needed_percent < most_needed_percent && cpu.lost->waiting <= cpu.backlog_limit / 2;
}

// A full queue is worked off: where fewer packets than fit in it got through in the window it was not full, and what
// is counted was lost for another reason (a device that went down; net/core/dev.c, enqueue_to_backlog before 6.11).
bool was_full(const BacklogLoss& loss, std::uint64_t limit) { return loss.processed >= limit; }

// At the limit of now, which was set at `since`.
bool is_lost_to_limit(const SoftirqCpu& cpu, MonoTime since) {
    return cpu.lost && cpu.lost->began >= since && cpu.backlog_limit > 0 && was_full(*cpu.lost, cpu.backlog_limit);
}

// Of a kind, the CPU that lost most at this limit; nullptr: none.
template <class Is> const SoftirqCpu* worst(const Snapshot& snapshot, MonoTime raised, Is is) {
    const SoftirqCpu* found = nullptr;
    for (const SoftirqCpu& cpu : snapshot.softirq)
        if (is_lost_to_limit(cpu, raised) && is(cpu) && (found == nullptr || cpu.lost->packets > found->lost->packets))
            found = &cpu;
    return found;
}

std::uint64_t size_for(const SoftirqCpu& cpu) {
    const std::uint64_t limit = cpu.backlog_limit;
    return std::bit_ceil(
        std::clamp(limit + cpu.lost->packets, least_factor * limit, std::max(most_factor * limit, kernel_default)));
}

Wish finding_of(const Snapshot& snapshot, const SoftirqCpu& cpu, std::string why) {
    const BacklogLoss& loss = *cpu.lost;
    return {.tunable = TunableId::netdev_max_backlog,
            .scope = {.netns = snapshot.host},
            .from = cpu.backlog_limit,
            .to = cpu.backlog_limit,
            .why = fmt::format("backlog of CPU {} lost {} packets in a second or so at {}, {}", cpu.cpu, loss.packets,
                               cpu.backlog_limit, why),
            .evidence = {{"cpu", cpu.cpu},
                         {"lost", loss.packets},
                         {"processed", loss.processed},
                         {"limit", cpu.backlog_limit},
                         {"needed_percent", static_cast<std::uint64_t>(std::lround(loss.needed_percent))},
                         {"waiting", loss.waiting}},
            .demand = limit_of(snapshot)};
}

// What is lost for want of this limit, since it has been set, of all that came to all CPUs: the same before a raise and
// after it. What a CPU is told to have lost it lost in the window before.
Measured measured(const Snapshot& snapshot, MonoTime since) {
    Measured all;
    for (const SoftirqCpu& cpu : snapshot.softirq) {
        if (is_lost_to_limit(cpu, since) && works_off(cpu)) all.losses += cpu.lost->packets;
        all.demand += cpu.window_processed + cpu.window_lost;
        all.use = std::max(all.use, static_cast<std::uint64_t>(std::lround(cpu.packets_per_second)));
    }
    return all;
}

void fill(Reading& reading, const Snapshot& snapshot, MonoTime since) {
    std::uint64_t most = 0;
    bool pressed = false;
    for (const SoftirqCpu& cpu : snapshot.softirq) {
        if (cpu.backlog_limit > 0) reading.value = cpu.backlog_limit; // the node's
        const std::uint64_t waiting = cpu.backlog.value_or(0);
        most = std::max(most, waiting);
        reading.charged_each.push_back(waiting);
        pressed |= cpu.window_lost > 0;
    }
    reading.in_use = most;
    reading.use = {.used = most, .wanted = std::bit_ceil(headroom * most), .pressed = pressed};
    reading.measured = measured(snapshot, since);
}

std::string why_busy(const SoftirqCpu& cpu) {
    const BacklogLoss& loss = *cpu.lost;
    const std::string signs =
        loss.needed_percent >= most_needed_percent
            ? fmt::format("and is given more than it can take (all that came would take {:.0f} % of its time)",
                          loss.needed_percent)
            : fmt::format("and does not work it off ({} packets were found waiting between bursts, though all that "
                          "came takes {:.0f} % of its time: something else keeps it from them)",
                          loss.waiting, loss.needed_percent);
    return signs + ": a longer backlog would only add delay. Spread them over more CPUs (rps_cpus, more queues), or "
                   "make each cheaper (firewall rules)";
}

void raise(Gate& gate, const SoftirqCpu& cpu, MonoTime since) {
    const Snapshot& snapshot = gate.snapshot();
    const Measured before = measured(snapshot, since);
    Wish wish = finding_of(snapshot, cpu,
                           fmt::format("where all that came takes {:.0f} % of its time: bursts that it works off",
                                       cpu.lost->needed_percent));
    wish.to = size_for(cpu);
    for (const SoftirqCpu& each : snapshot.softirq)
        if (each.lost && works_off(each)) wish.expected.push_back(wish.to);
    wish.reason = {
        .trial = {.object = limit_of(snapshot)}, .cause = Cause::loss, .fitted = before.use, .before = before};
    wish.urgent = true; // this loss is of the present limit
    gate.raise(std::move(wish));
}

} // namespace

namespace backlogs {

void read(const View& view, std::vector<Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    Reading reading{.object = limit_of(snapshot),
                    .read = snapshot.time.mono,
                    .sharers = std::max<std::size_t>(snapshot.softirq.size(), 1)};
    const auto held = view.state.held.find(reading.object);
    const MonoTime since = held != view.state.held.end() ? held->second.since : MonoTime();
    if (!snapshot.softirq.empty()) fill(reading, snapshot, since);
    readings.push_back(std::move(reading));
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    const ObjectKey object = limit_of(snapshot);
    if (gate.puts_back(object) || !gate.asks(object.tunable, snapshot.host)) return;
    const Held* held = gate.held(object);
    const MonoTime raised = held != nullptr ? held->since : MonoTime();
    if (const SoftirqCpu* cpu = worst(snapshot, raised, works_off)) return raise(gate, *cpu, raised);
    const SoftirqCpu* busy = worst(snapshot, raised, [](const SoftirqCpu& cpu) { return !works_off(cpu); });
    if (busy != nullptr) gate.advise(finding_of(snapshot, *busy, why_busy(*busy)), "busy");
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    const auto limit = value_of(limit_of(snapshot));
    for (SoftirqCpu& cpu : snapshot.softirq) cpu.backlog_limit = limit.value_or(cpu.backlog_limit);
}

} // namespace backlogs
} // namespace bpftune::controller

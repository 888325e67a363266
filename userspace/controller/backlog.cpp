// SPDX-License-Identifier: Apache-2.0
#include "controller/backlog.hpp"

#include <algorithm>
#include <bit>
#include <cmath>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "controller/hot_cpu.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

// Of the CPU's time, with what was lost. It is known to a few percent: /proc/stat counts in hundredths of a second, and
// some of it is charged to whoever was interrupted.
constexpr double most_needed_percent = 90;
constexpr std::uint64_t least_factor = 2;
constexpr std::uint64_t most_factor = 4;
constexpr std::uint64_t kernel_default = 1000; // net/core/hotdata.c, max_backlog: up to it there is nothing to try
constexpr std::uint64_t headroom = 2;          // for what waits at a tick, which is not what waits at most

constexpr std::uint64_t polled = 64; // net/core/hotdata.c, dev_rx_weight: what one queue is polled for

ObjectKey limit_of(const Snapshot& snapshot) { return {TunableId::netdev_max_backlog, snapshot.host}; }
ObjectKey turn_of(const Snapshot& snapshot) { return {TunableId::netdev_budget_usecs, snapshot.host}; }
ObjectKey packets_of(const Snapshot& snapshot) { return {TunableId::netdev_budget, snapshot.host}; }

bool has_time(const SoftirqCpu& cpu) { return cpu.lost->needed_percent < most_needed_percent; }
bool works_off(const SoftirqCpu& cpu) { return has_time(cpu) && cpu.lost->waiting <= cpu.backlog_limit / 2; }
bool is_kept_from_it(const SoftirqCpu& cpu) { return has_time(cpu) && !works_off(cpu); }

// Half of the time that its packets took was in turns that the budget ended. Which of the two it was is not counted:
// such a turn is as long as it takes for as many packets, at what one takes, or as its time. It looks at its budget
// after each queue that it polled.
bool is_held_to_turns(const SoftirqCpu& cpu) {
    const BacklogLoss& loss = *cpu.lost;
    if (!cpu.budget || !cpu.budget_usecs || loss.processed == 0) return false;
    const double taken = Seconds(loss.taken).count();
    const double each = taken / static_cast<double>(loss.processed);
    const double turn = std::min(static_cast<double>(std::max(*cpu.budget, polled)) * each,
                                 static_cast<double>(*cpu.budget_usecs) / 1e6);
    return loss.squeezed > 0 && 2 * static_cast<double>(loss.squeezed) * turn >= taken;
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

// What is lost for want of a limit by the CPUs that have it to blame, since it has been set, of all that came to all
// CPUs: the same before a raise and after it. What a CPU is told to have lost it lost in the window before. Of packets,
// of whatever size: these are what the limits count.
template <class Blames> Measured measured(const Snapshot& snapshot, MonoTime since, Blames blames) {
    Measured all;
    for (const SoftirqCpu& cpu : snapshot.softirq) {
        if (is_lost_to_limit(cpu, since) && blames(cpu)) all.losses += cpu.lost->packets;
        all.demand += cpu.window_processed + cpu.window_lost;
        all.use = std::max(all.use, static_cast<std::uint64_t>(std::lround(cpu.packets_per_second)));
    }
    return all;
}

void fill(Reading& reading, const Snapshot& snapshot, MonoTime since) {
    std::uint64_t most = 0;
    bool pressed = false;
    std::vector<std::uint64_t>& charged = reading.charged_each.emplace();
    for (const SoftirqCpu& cpu : snapshot.softirq) {
        if (cpu.backlog_limit > 0) reading.value = cpu.backlog_limit; // the node's
        const std::uint64_t waiting = cpu.backlog.value_or(0);
        most = std::max(most, waiting);
        charged.push_back(waiting);
        pressed |= cpu.window_lost > 0;
    }
    reading.in_use = most;
    reading.use = {.used = most, .wanted = std::bit_ceil(headroom * most), .pressed = pressed};
    reading.measured = measured(snapshot, since, works_off);
}

MonoTime set_at(const State& state, const ObjectKey& object) {
    const auto held = state.held.find(object);
    return held != state.held.end() ? held->second.since : MonoTime();
}

Reading reading_of_turn(const Snapshot& snapshot, const ObjectKey& object,
                        std::optional<std::uint64_t> SoftirqCpu::* value, const Measured& measured) {
    Reading reading{.object = object, .read = snapshot.time.mono, .in_use = 0, .measured = measured};
    if (!snapshot.softirq.empty()) reading.value = snapshot.softirq.front().*value; // the node's
    return reading;
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
    const Measured before = measured(snapshot, since, works_off);
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

void raise_packets(Gate& gate, const SoftirqCpu& cpu, Wish wish, std::uint64_t usecs) {
    wish.tunable = TunableId::netdev_budget;
    wish.to = std::min(tunables::following(wish.tunable, usecs, wish.from, *cpu.budget), gate.bounds_of(wish).max);
    wish.from = *cpu.budget;
    wish.why = fmt::format("netdev_budget_usecs goes to {}: as many packets a microsecond as before", usecs);
    gate.raise(std::move(wish));
}

void lengthen_turns(Gate& gate, const SoftirqCpu& cpu, MonoTime since) {
    const Snapshot& snapshot = gate.snapshot();
    Wish wish = finding_of(snapshot, cpu,
                           fmt::format("though all that came takes {:.0f} % of its time: {} packets were found waiting "
                                       "between bursts, and {} turns of its softirq were ended by netdev_budget, {}, "
                                       "or netdev_budget_usecs, {}",
                                       cpu.lost->needed_percent, cpu.lost->waiting, cpu.lost->squeezed, *cpu.budget,
                                       *cpu.budget_usecs));
    wish.tunable = TunableId::netdev_budget_usecs;
    wish.demand = turn_of(snapshot);
    wish.from = *cpu.budget_usecs;
    wish.to = least_factor * wish.from;
    wish.evidence.push_back({"squeezed", cpu.lost->squeezed});
    wish.reason = {.trial = {.object = wish.demand},
                   .cause = Cause::loss,
                   .fitted = 0,
                   .before = measured(snapshot, since, is_kept_from_it)};
    const Wish raised = wish;
    if (const std::uint64_t to = gate.raise(std::move(wish)); to > raised.from) raise_packets(gate, cpu, raised, to);
}

// Nothing that it needs more of is a longer backlog.
void help(Gate& gate, const SoftirqCpu& cpu, MonoTime since) {
    const ObjectKey turn = turn_of(gate.snapshot());
    if (trial_with(gate, turn) != nullptr) return; // it is judged before anything else is said
    const bool may_be = gate.mode_of(turn) != policy::Mode::observe;
    if (may_be && is_kept_from_it(cpu) && is_held_to_turns(cpu) && !gate.puts_back(turn))
        lengthen_turns(gate, cpu, std::max(since, set_at(gate.state(), turn)));
    else
        gate.advise(finding_of(gate.snapshot(), cpu, why_busy(cpu)), "busy");
}

} // namespace

namespace backlogs {

bool is_on_trial(const State& state, const NetnsId& host) {
    return std::ranges::any_of(state.trials, [&](const auto& entry) {
        const auto& [key, trial] = entry;
        const auto is_part = [&](TunableId tunable) { return trial.values.contains(ObjectKey{tunable, host}); };
        return trial.verdict.empty() && (is_part(TunableId::netdev_max_backlog) ||
                                         is_part(TunableId::netdev_budget_usecs) || is_part(TunableId::netdev_budget));
    });
}

void read(const View& view, std::vector<Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    Reading reading{.object = limit_of(snapshot),
                    .read = snapshot.time.mono,
                    .sharers = std::max<std::size_t>(snapshot.softirq.size(), 1)};
    if (!snapshot.softirq.empty()) fill(reading, snapshot, set_at(view.state, reading.object));
    readings.push_back(std::move(reading));
    const ObjectKey turn = turn_of(snapshot);
    const Measured kept_from_it = measured(snapshot, set_at(view.state, turn), is_kept_from_it);
    readings.push_back(reading_of_turn(snapshot, turn, &SoftirqCpu::budget_usecs, kept_from_it));
    readings.push_back(reading_of_turn(snapshot, packets_of(snapshot), &SoftirqCpu::budget, kept_from_it));
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    const ObjectKey object = limit_of(snapshot);
    if (gate.puts_back(object) || !gate.asks(object.tunable, snapshot.host)) return;
    if (tries_other_cpus(gate.state())) return;
    const MonoTime raised = set_at(gate.state(), object);
    if (const SoftirqCpu* cpu = worst(snapshot, raised, works_off)) return raise(gate, *cpu, raised);
    const SoftirqCpu* busy = worst(snapshot, raised, [](const SoftirqCpu& cpu) { return !works_off(cpu); });
    if (busy != nullptr) help(gate, *busy, raised);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    const auto limit = value_of(limit_of(snapshot));
    const auto packets = value_of(packets_of(snapshot));
    const auto usecs = value_of(turn_of(snapshot));
    for (SoftirqCpu& cpu : snapshot.softirq) {
        cpu.backlog_limit = limit.value_or(cpu.backlog_limit);
        if (packets) cpu.budget = packets;
        if (usecs) cpu.budget_usecs = usecs;
    }
}

} // namespace backlogs
} // namespace bpftune::controller

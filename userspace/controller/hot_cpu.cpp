// SPDX-License-Identifier: Apache-2.0
#include "controller/hot_cpu.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/cpus.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

constexpr double least_idle_percent = 50;

} // namespace

const SoftirqCpu* hot_cpu_of(const Snapshot& snapshot) {
    if (!snapshot.hot_cpu || snapshot.hot_cpu->length < hot_long_enough) return nullptr;
    const auto found = std::ranges::find(snapshot.softirq, snapshot.hot_cpu->cpu, &SoftirqCpu::cpu);
    return found == snapshot.softirq.end() ? nullptr : &*found;
}

const SoftirqCpu* idlest_of(const Snapshot& snapshot, std::uint64_t cpus) {
    const SoftirqCpu* found = nullptr;
    for (const SoftirqCpu& each : snapshot.softirq) {
        const bool is_one = each.cpu < most_cpus && (cpus >> each.cpu & 1) != 0;
        if (is_one && each.idle_percent.value_or(0) >= std::max(least_idle_percent, found ? *found->idle_percent : 0))
            found = &each;
    }
    return found;
}

Measured measured(std::span<const CpuWork> work, std::uint64_t cpus, const ReceiveRate& received, Nanoseconds length) {
    const auto in_all = [&](double rate) {
        return static_cast<std::uint64_t>(std::llround(rate * Seconds(length).count()));
    };
    Measured all{.length = length, .cpus = cpus};
    for (const CpuWork& each : work) {
        if (each.cpu >= most_cpus || (cpus >> each.cpu & 1) == 0) continue;
        all.losses += each.lost;
        all.softirq_us += each.softirq_us;
    }
    all.demand = in_all(received.packets) + all.losses;
    all.bytes = in_all(received.bytes);
    return all;
}

Measured measured_on_trial(const View& view, const ObjectKey& object, const ReceiveRate& received) {
    const auto trial = view.state.trials.find({.object = object});
    if (trial == view.state.trials.end()) return {};
    std::vector<CpuWork> work;
    work.reserve(view.snapshot.softirq.size());
    for (const SoftirqCpu& cpu : view.snapshot.softirq) work.push_back(work_of(cpu, view.snapshot.interval));
    return measured(work, trial->second.before.cpus, received, view.snapshot.interval);
}

bool tries_other_cpus(const State& state) {
    return std::ranges::any_of(state.trials, [](const auto& entry) {
        return tunables::row(entry.first.object.tunable).judged_by == tunables::JudgedBy::throughput;
    });
}

} // namespace bpftune::controller

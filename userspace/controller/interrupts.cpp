// SPDX-License-Identifier: Apache-2.0
#include "controller/interrupts.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "controller/backlog.hpp"
#include "controller/gate.hpp"
#include "controller/hot_cpu.hpp"
#include "core/cpus.hpp"
#include "tunables/codec.hpp"

namespace bpftune::controller {
namespace {

constexpr TunableId tunable = TunableId::smp_affinity;
// Of what the hot CPU processed, that the device received: a packet is counted again by what passes it on.
constexpr double least_share = 0.25;
// Of what the busiest of a device is taken: the others have no load, and are for a packet now and then.
constexpr double least_of_busiest = 0.1;

ObjectKey object_of(const DeviceInterrupt& interrupt) { return key_of(tunable, scope_of(interrupt)); }

// Those of one device that the hot CPU is given, the busiest first.
struct Given {
    std::vector<const DeviceInterrupt*> interrupts;
    double per_second = 0; // of all
};

void leave_busy_ones(Given& given) {
    std::ranges::stable_sort(given.interrupts, std::ranges::greater{}, &DeviceInterrupt::per_second);
    const double least = least_of_busiest * given.interrupts.front()->per_second;
    std::erase_if(given.interrupts, [&](const DeviceInterrupt* each) { return each->per_second < least; });
    for (const DeviceInterrupt* each : given.interrupts) given.per_second += each->per_second;
}

// Of the device that gives it most, where that has two.
Given given_to(const Snapshot& snapshot, const SoftirqCpu& hot) {
    std::map<std::uint32_t, Given> devices;
    for (const DeviceInterrupt& each : snapshot.interrupts) {
        const bool brings = each.mean_packets_per_second >= least_share * hot.packets_per_second;
        if (each.per_second <= 0 || each.cpu != hot.cpu || !brings) continue;
        devices[each.ifindex].interrupts.push_back(&each);
    }
    for (auto& [ifindex, given] : devices) leave_busy_ones(given);
    std::erase_if(devices, [](const auto& entry) { return entry.second.interrupts.size() < 2; });
    const auto most = std::ranges::max_element(devices, {}, [](const auto& entry) { return entry.second.per_second; });
    return most == devices.end() ? Given() : most->second;
}

// The second busiest, or the next of which nobody has chosen the CPU: we, or somebody since. nullptr: none.
const DeviceInterrupt* to_move(const Gate& gate, const Given& given) {
    const auto is_free = [&](const DeviceInterrupt* each) {
        const ObjectKey object = object_of(*each);
        return gate.held(object) == nullptr && !gate.state().yielded.contains(object);
    };
    const auto found = given.interrupts.empty()
                           ? given.interrupts.end()
                           : std::find_if(std::next(given.interrupts.begin()), given.interrupts.end(), is_free);
    return found == given.interrupts.end() ? nullptr : *found;
}

// Those that are online and not isolated, of the device's NUMA node, but for the hot one.
std::uint64_t others(const Snapshot& snapshot, const DeviceInterrupt& interrupt) {
    std::uint64_t cpus = 0;
    for (const SoftirqCpu& each : snapshot.softirq)
        if (each.cpu < most_cpus && each.cpu != snapshot.hot_cpu->cpu) cpus |= std::uint64_t{1} << each.cpu;
    return cpus & interrupt.near.value_or(cpus) & ~snapshot.isolated_cpus;
}

std::uint64_t rounded(double value) { return static_cast<std::uint64_t>(std::llround(value)); }

Wish finding_of(const Snapshot& snapshot, const Given& given, const DeviceInterrupt& interrupt, const SoftirqCpu& hot,
                const SoftirqCpu& idle) {
    const double percent = std::max(hot.softirq_percent.value_or(0), hot.needed_percent.value_or(0));
    return {.tunable = tunable,
            .scope = scope_of(interrupt),
            .from = interrupt.cpus.value_or(0),
            .to = interrupt.cpus.value_or(0),
            .why =
                fmt::format("packets take {:.0f} % of CPU {}, and have for {:.0f} s, while CPU {} has {:.0f} % to "
                            "spare; it is given {} interrupts of {}, this one ({}) {:.0f} times a second",
                            percent, hot.cpu, Seconds(snapshot.hot_cpu->length).count(), idle.cpu, *idle.idle_percent,
                            given.interrupts.size(), interrupt.device, interrupt.name, interrupt.per_second),
            .evidence = {{"cpu", hot.cpu},
                         {"needed_percent", rounded(percent)},
                         {"idle_cpu", idle.cpu},
                         {"idle_percent", rounded(*idle.idle_percent)},
                         {"interrupts", given.interrupts.size()},
                         {"interrupts_per_second", rounded(given.per_second)},
                         {"moved_per_second", rounded(interrupt.per_second)}},
            .reason = {.trial = {.object = object_of(interrupt)}, .cause = Cause::loss, .before = {}},
            .demand = object_of(interrupt)};
}

struct Obstacle {
    std::string_view kind; // empty: nothing speaks against it
    std::string why;
};

Obstacle obstacle_to(const Gate& gate, const DeviceInterrupt& interrupt) {
    const std::optional<bool>& irqbalance = gate.snapshot().irqbalance;
    if (!irqbalance)
        return {"irqbalance", "whether irqbalance runs is not known, as the node's processes are not seen here"};
    if (*irqbalance) return {"irqbalance", "irqbalance runs: it is left to that"};
    if (interrupt.is_fixed) return {"fixed", "the kernel keeps its CPUs to itself (a managed interrupt)"};
    if (interrupt.has_more_cpus)
        return {"more CPUs", fmt::format("its smp_affinity has a CPU past {} in it, and is left alone", most_cpus - 1)};
    // Of a kernel that does not show which are managed, and where somebody else sets it as well.
    if (gate.state().retry_after.contains(object_of(interrupt)))
        return {"refused", "it could not be set: it is left alone until the policy is loaded again"};
    return {};
}

} // namespace

namespace device_interrupts {

void read(const View& view, std::vector<Reading>& readings) {
    for (const DeviceInterrupt& interrupt : view.snapshot.interrupts)
        add(readings, [&] {
            return Reading{.object = object_of(interrupt),
                           .netns_pid = interrupt.pid,
                           .interrupt = &interrupt,
                           .value = interrupt.cpus,
                           .read = interrupt.read,
                           .in_use = 0, // what waits goes on where it is
                           .measured = interrupt.cpus
                                           ? measured_on_trial(view, object_of(interrupt), received_by(interrupt))
                                           : Measured{}};
        });
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    const SoftirqCpu* hot = hot_cpu_of(snapshot);
    if (hot == nullptr || hot->cpu >= most_cpus) return;
    if (tries_other_cpus(gate.state()) || backlogs::is_on_trial(gate.state(), snapshot.host)) return;
    const Given given = given_to(snapshot, *hot);
    const DeviceInterrupt* interrupt = to_move(gate, given);
    const SoftirqCpu* idle = interrupt != nullptr ? idlest_of(snapshot, others(snapshot, *interrupt)) : nullptr;
    if (idle == nullptr) return;
    Wish wish = finding_of(snapshot, given, *interrupt, *hot, *idle);
    const bool is_named = gate.mode_of(object_of(*interrupt)) != policy::Mode::observe;
    if (const auto [kind, why] = obstacle_to(gate, *interrupt); !kind.empty()) {
        wish.why += "; " + why;
        if (is_named) gate.advise(std::move(wish), kind);
        return;
    }
    if (!interrupt->cpus) return;
    const std::uint64_t max = gate.bounds_of(object_of(*interrupt)).max;
    const SoftirqCpu* to = idlest_of(snapshot, others(snapshot, *interrupt) & max);
    if (to == nullptr) {
        wish.why += fmt::format("; none such is in the policy's max, {}", tunables::text_of(tunable, max));
        return gate.advise(std::move(wish), "max");
    }
    wish.to = std::uint64_t{1} << to->cpu;
    wish.reason.before = measured(snapshot.hot_cpu->each, wish.to | std::uint64_t{1} << hot->cpu,
                                  mean_received_by(*interrupt), snapshot.hot_cpu->length);
    gate.raise(std::move(wish));
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (DeviceInterrupt& interrupt : snapshot.interrupts)
        if (interrupt.cpus) interrupt.cpus = value_of(object_of(interrupt)).value_or(*interrupt.cpus);
}

} // namespace device_interrupts
} // namespace bpftune::controller

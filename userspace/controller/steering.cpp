// SPDX-License-Identifier: Apache-2.0
#include "controller/steering.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "controller/backlog.hpp"
#include "controller/gate.hpp"
#include "controller/hot_cpu.hpp"
#include "core/cpus.hpp"
#include "core/words.hpp"
#include "tunables/codec.hpp"

namespace bpftune::controller {
namespace {

constexpr TunableId tunable = TunableId::rps_cpus;
constexpr double most_of = 0.5;
constexpr double most_of_hardware = 0.25;
constexpr double similar = 0.5;

ObjectKey object_of(const SteeredDevice& device) { return key_of(tunable, scope_of(device)); }

// Those that are online and not isolated, of the device's NUMA node, but for the hot one.
std::uint64_t others(const Snapshot& snapshot, const SteeredDevice& device) {
    std::uint64_t cpus = 0;
    for (const SoftirqCpu& each : snapshot.softirq)
        if (each.cpu < most_cpus && each.cpu != snapshot.hot_cpu->cpu) cpus |= std::uint64_t{1} << each.cpu;
    return cpus & device.near.value_or(cpus) & ~snapshot.isolated_cpus;
}

// Two of different namespaces may have one name.
std::string name_of(const Snapshot& snapshot, const SteeredDevice& device) {
    return device.netns == snapshot.host ? device.name : device.name + " of " + netns_text(device.netns, device.pod);
}

// By which the hot CPU gets most of its packets, and whether that is plain.
struct Bringer {
    const SteeredDevice* device = nullptr;
    const SteeredDevice* rival = nullptr; // brings as many, as far as can be told
};

Bringer bringer_of(const Snapshot& snapshot, double packets_per_second) {
    std::vector<const SteeredDevice*> by_packets;
    by_packets.reserve(snapshot.steered.size());
    for (const SteeredDevice& device : snapshot.steered) by_packets.push_back(&device);
    std::ranges::stable_sort(by_packets, std::ranges::greater{}, &SteeredDevice::packets_per_second);
    if (by_packets.empty()) return {};
    const double most = by_packets.front()->packets_per_second;
    std::erase_if(by_packets, [&](const auto* device) { return device->packets_per_second < similar * most; });
    std::ranges::stable_partition(by_packets, &SteeredDevice::is_hardware);
    const SteeredDevice* first = by_packets.front();
    if (first->packets_per_second < (first->is_hardware ? most_of_hardware : most_of) * packets_per_second) return {};
    const bool has_rival = by_packets.size() > 1 && by_packets[1]->is_hardware == first->is_hardware;
    return {.device = first, .rival = has_rival ? by_packets[1] : nullptr};
}

Wish finding_of(const Snapshot& snapshot, const SteeredDevice& device, const SoftirqCpu& hot, const SoftirqCpu& idle) {
    const double percent = std::max(hot.softirq_percent.value_or(0), hot.needed_percent.value_or(0));
    return {
        .tunable = tunable,
        .scope = scope_of(device),
        .from = device.rps_cpus.value_or(0),
        .to = device.rps_cpus.value_or(0),
        .why = fmt::format("packets take {:.0f} % of CPU {}, and have for {:.0f} s, while CPU {} has {:.0f} % to "
                           "spare; {} received {:.0f} a second of the {:.0f} that it processed",
                           percent, hot.cpu, Seconds(snapshot.hot_cpu->length).count(), idle.cpu, *idle.idle_percent,
                           name_of(snapshot, device), device.packets_per_second, hot.packets_per_second),
        .evidence = {{"cpu", hot.cpu},
                     {"needed_percent", static_cast<std::uint64_t>(std::lround(percent))},
                     {"idle_cpu", idle.cpu},
                     {"idle_percent", static_cast<std::uint64_t>(std::lround(*idle.idle_percent))},
                     {"device_packets_per_second", static_cast<std::uint64_t>(std::llround(device.packets_per_second))},
                     {"cpu_packets_per_second", static_cast<std::uint64_t>(std::llround(hot.packets_per_second))}},
        .reason = {.trial = {.object = object_of(device)}, .cause = Cause::loss, .before = {}},
        .demand = object_of(device)};
}

// Why nothing is set; empty: nothing speaks against it.
std::string obstacle(const Snapshot& snapshot, const Bringer& bringer, const SoftirqCpu& hot) {
    const SteeredDevice& device = *bringer.device;
    if (bringer.rival != nullptr)
        return fmt::format("but {} received {:.0f}: which of the two brings them to this CPU is not known",
                           name_of(snapshot, *bringer.rival), bringer.rival->packets_per_second);
    if (device.has_more_cpus)
        return fmt::format("its rps_cpus has a CPU past {} in it, and is left alone", most_cpus - 1);
    if (device.queues > 1)
        return fmt::format("it has {} receive queues, and which of them brings these is not known: spread their "
                           "interrupts (smp_affinity)",
                           device.queues);
    if (device.is_read_only) return "the sysfs of its network namespace is read-only";
    if (device.is_denied)
        return "its network namespace belongs to another user namespace, whose root alone may write its rps_cpus";
    if (hot.cpu >= most_cpus) return fmt::format("CPUs past {} are not told apart here", most_cpus - 1);
    return {};
}

void judge(Gate& gate, const Bringer& bringer, const SoftirqCpu& hot) {
    const Snapshot& snapshot = gate.snapshot();
    const SteeredDevice& device = *bringer.device;
    const SoftirqCpu* idle = idlest_of(snapshot, others(snapshot, device));
    // Somebody's choice, or nothing that it could be compared with while another one is tried.
    const bool is_set = device.rps_cpus.value_or(0) != 0 || (!device.rps_cpus && !device.has_more_cpus);
    if (idle == nullptr || is_set || gate.puts_back(object_of(device))) return;
    if (tries_other_cpus(gate.state()) || backlogs::is_on_trial(gate.state(), snapshot.host)) return;
    Wish wish = finding_of(snapshot, device, hot, *idle);
    const bool is_named = gate.mode_of(object_of(device)) != policy::Mode::observe;
    if (const std::string why_not = obstacle(snapshot, bringer, hot); !why_not.empty()) {
        wish.why += "; " + why_not;
        if (is_named) gate.advise(std::move(wish), "no device");
        return;
    }
    const std::uint64_t max = gate.bounds_of(object_of(device)).max;
    wish.to = others(snapshot, device) & max;
    if (idlest_of(snapshot, wish.to) == nullptr) {
        wish.why += fmt::format("; none such is in the policy's max, {}", tunables::text_of(tunable, max));
        wish.to = wish.from;
        return gate.advise(std::move(wish), "max");
    }
    if (device.mean_packets_per_second <= 0) return; // a look or two later
    const std::uint64_t concerned = wish.to | std::uint64_t{1} << hot.cpu;
    wish.reason.before =
        measured(snapshot.hot_cpu->each, concerned, mean_received_by(device), snapshot.hot_cpu->length);
    gate.raise(std::move(wish));
}

} // namespace

namespace packet_steering {

void read(const View& view, std::vector<Reading>& readings) {
    for (const SteeredDevice& device : view.snapshot.steered)
        add(readings, [&] {
            return Reading{.object = object_of(device),
                           .netns_pid = device.pid,
                           .device = &device,
                           .pod = &device.pod,
                           .value = device.rps_cpus,
                           .read = device.read,
                           .in_use = 0, // what waits goes on where it is
                           .measured = device.rps_cpus ? measured_on_trial(view, object_of(device), received_by(device))
                                                       : Measured{}};
        });
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    const SoftirqCpu* hot = hot_cpu_of(snapshot);
    if (hot == nullptr) return;
    const Bringer bringer = bringer_of(snapshot, hot->packets_per_second);
    if (bringer.device != nullptr) judge(gate, bringer, *hot);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (SteeredDevice& device : snapshot.steered)
        if (device.rps_cpus) device.rps_cpus = value_of(object_of(device)).value_or(*device.rps_cpus);
}

} // namespace packet_steering
} // namespace bpftune::controller

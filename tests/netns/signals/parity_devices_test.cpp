// SPDX-License-Identifier: Apache-2.0
// As parity_test.cpp: network devices and their interrupts. The probe `softirq` looks at them where a CPU has no time
// left for packets, and at any time where their steering is ours, as it is here.
#include <catch2/catch.hpp>

#include <bit>
#include <cmath>

#include <poll.h>

#include "core/cpus.hpp"
#include "netns/probes/traffic.hpp"
#include "netns/signals/sides.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/interrupts.hpp"
#include "sys/netns.hpp"
#include "sys/sysfs.hpp"

using namespace bpftune;
using namespace bpftune::testing;

namespace {

constexpr std::uint16_t nobody = 9;

template <class T> T take(Result<T> result) {
    if (!result) throw std::runtime_error(result.error().message);
    return std::move(*result);
}

sys::Fd folder_of(const std::string& device) { return take(sys::open_device(take(sys::mount_sysfs()), device)); }

ObjectKey object(TunableId tunable, const NetnsId& netns, std::uint32_t ifindex, std::uint32_t number) {
    return {tunable, netns, (std::uint64_t{ifindex} << 32) | number};
}

// What eth0 of a namespace has received.
struct Moment {
    MonoTime time;
    sys::Received received;
};

Moment moment(const Namespace& netns) {
    const auto devices = sys::devices_received(netns.read("net/dev"));
    const auto eth0 = std::ranges::find(devices, "eth0", &sys::DeviceReceived::name);
    must(eth0 != devices.end(), "find eth0");
    return {sys::now().mono, eth0->received};
}

// The device was looked at between these.
struct Look {
    Moment before;
    Moment after;
};

Sides::Bounds per_second(const Look& first, const Look& last, std::uint64_t sys::Received::* count) {
    const auto rate = [&](const Moment& from, const Moment& to, Nanoseconds time) {
        return static_cast<double>(to.received.*count - from.received.*count) / Seconds(time).count();
    };
    const double least = rate(first.after, last.before, last.after.time - first.before.time);
    const double most = rate(first.before, last.after, last.before.time - first.after.time);
    return {.least = static_cast<std::uint64_t>(std::floor(least)),
            .most = static_cast<std::uint64_t>(std::ceil(most))};
}

const SteeredDevice* device_in(const Snapshot& snapshot, const Namespace& netns) {
    const auto row =
        std::ranges::find(snapshot.steered, netns.inode(), [](const SteeredDevice& each) { return each.netns.inode; });
    return row == snapshot.steered.end() ? nullptr : &*row;
}

// A second apart, as what comes sooner is no look at its rate; one that took long is followed by none for a while. Of
// the first only the name of the device is known, so the rate is from the second to the third.
std::vector<Look> look_three_times(Sides& sides, const Namespace& from, const Namespace& to) {
    std::vector<Look> looks;
    REQUIRE(comes_true([&] {
        if (!looks.empty()) ::poll(nullptr, 0, 1000);
        send_at_one_go(from, "10.77.0.2", nobody);
        const Moment before = moment(to);
        sides.look();
        const SteeredDevice* row = device_in(sides.all().front().seen, to);
        if (row != nullptr && row->read >= before.time) looks.push_back({before, moment(to)});
        return looks.size() == 3;
    }));
    return looks;
}

// One of a network device of this machine, as /proc tells of it.
struct Interrupt {
    std::string device;
    std::uint32_t ifindex = 0;
    std::uint32_t irq = 0;
    std::string name;
};

std::vector<Interrupt> interrupts_here() {
    std::vector<Interrupt> all;
    const auto lines = sys::interrupt_lines(take(sys::read_file("/proc/interrupts")));
    for (const sys::DeviceReceived& each : sys::devices_received(take(sys::read_file("/proc/thread-self/net/dev")))) {
        const sys::Fd folder = folder_of(each.name);
        for (const std::uint32_t irq : sys::device_interrupts(folder))
            if (const auto line = std::ranges::find(lines, irq, &sys::InterruptLine::irq); line != lines.end())
                all.push_back({each.name, take(sys::ifindex_of(folder)), irq, line->name});
    }
    return all;
}

std::optional<std::uint64_t> cpus_in(std::uint32_t irq, const char* file) {
    const auto text = sys::read_file(fmt::format("/proc/irq/{}/{}", irq, file));
    const auto cpus = text ? parse_cpus(text->substr(0, text->find('\n'))) : std::unexpected(text.error());
    return cpus ? std::optional(cpus->first) : std::nullopt;
}

} // namespace

TEST_CASE("the rung of softirq has a device's queues, its rps_cpus and what it receives as the kernel tells them") {
    const Namespace from;
    const Namespace to;
    const Process resident(to, [] { return std::uint64_t{0}; });
    shell(fmt::format("ip -n {1} link add eth0 numrxqueues 3 type veth peer name eth0 netns {0} && "
                      "ip -n {0} address add 10.77.0.1/24 dev eth0 && ip -n {0} link set eth0 up && "
                      "ip -n {1} address add 10.77.0.2/24 dev eth0 && ip -n {1} link set eth0 up",
                      from.name(), to.name()));
    const sys::Fd folder = to.inside([] { return folder_of("eth0"); });
    REQUIRE(sys::write_below(folder, "queues/rx-0/rps_cpus", "1"));
    Sides sides(Probe::softirq);
    REQUIRE(sides.all().size() == 1);
    sides.all().front().collector->holds(object(TunableId::rps_cpus, to.inside([] { return take(sys::own_netns()); }),
                                                take(sys::ifindex_of(folder)), 0));
    const auto looks = look_three_times(sides, from, to);
    const auto of = [&](auto read) {
        return [&to, read](const Snapshot& snapshot) -> Number {
            const SteeredDevice* row = device_in(snapshot, to);
            return row == nullptr ? Number() : read(*row);
        };
    };
    sides.expect("steering.device", 1, of([](const SteeredDevice& row) { return number(row.name == "eth0" ? 1 : 0); }));
    sides.expect("steering.queues", 3, row_of(to));
    sides.expect("steering.rps_cpus", 1, of([](const SteeredDevice& row) { return number(row.rps_cpus); }));
    const auto packets = per_second(looks[1], looks[2], &sys::Received::packets);
    CHECK(packets.least > 0);
    const auto rate_of = [&](double SteeredDevice::* member) {
        return of([member](const SteeredDevice& row) { return number(std::llround(row.*member)); });
    };
    sides.expect("steering.packets_per_second", packets, rate_of(&SteeredDevice::packets_per_second));
    sides.expect("steering.bytes_per_second", per_second(looks[1], looks[2], &sys::Received::bytes),
                 rate_of(&SteeredDevice::bytes_per_second));
}

TEST_CASE("the rung of softirq has the interrupts of the node's devices, and their CPUs, as the kernel tells them") {
    const auto interrupts = interrupts_here();
    if (interrupts.empty()) {
        WARN("no network device here has interrupts");
        return;
    }
    Sides sides(Probe::softirq);
    for (const Interrupt& each : interrupts)
        sides.all().front().collector->holds(
            object(TunableId::smp_affinity, take(sys::own_netns()), each.ifindex, each.irq));
    sides.look();
    for (const Interrupt& each : interrupts) {
        INFO(each.device << " irq " << each.irq);
        const auto of = [&](auto read) {
            return [irq = each.irq, read](const Snapshot& snapshot) -> Number {
                const auto row = std::ranges::find(snapshot.interrupts, irq, &DeviceInterrupt::irq);
                return row == snapshot.interrupts.end() ? Number() : read(*row);
            };
        };
        const auto is = [&](std::string DeviceInterrupt::* member, const std::string& text) {
            return of([member, text](const DeviceInterrupt& row) { return number(row.*member == text ? 1 : 0); });
        };
        sides.expect("interrupt.device", 1, is(&DeviceInterrupt::device, each.device));
        sides.expect("interrupt.name", 1, is(&DeviceInterrupt::name, each.name));
        const auto cpus = cpus_in(each.irq, "smp_affinity");
        REQUIRE(cpus);
        sides.expect("interrupt.cpus", *cpus, of([](const DeviceInterrupt& row) { return number(row.cpus); }));
        const std::uint64_t to = cpus_in(each.irq, "effective_affinity").value_or(*cpus);
        if (std::popcount(to) == 1)
            sides.expect("interrupt.cpu", static_cast<std::uint64_t>(std::countr_zero(to)),
                         of([](const DeviceInterrupt& row) { return row.cpu ? Number(*row.cpu) : Number(); }));
    }
}

// SPDX-License-Identifier: Apache-2.0
// The network device with two queues that QUEUES=2 of scripts/in-kernel gives: a machine of their own is what tests of
// interrupts need, so they are run by name ([queues]).
#pragma once

#include <string>
#include <vector>

#include "core/change.hpp"
#include "netns/actuators/fixtures.hpp"
#include "sys/files.hpp"
#include "sys/interrupts.hpp"
#include "sys/sysfs.hpp"

namespace bpftune::testing {

// All of its interrupts are given to CPU 0.
struct TwoQueues {
    std::string device = "eth0";
    std::uint32_t ifindex = 0;
    std::vector<std::uint32_t> input; // those of its receive queues

    TwoQueues() {
        const auto folder = take(sys::open_device(take(sys::mount_sysfs()), device));
        ifindex = static_cast<std::uint32_t>(std::stoul(take(sys::read_below(folder, "ifindex"))));
        const auto own = sys::device_interrupts(folder);
        for (const sys::InterruptLine& line : sys::interrupt_lines(take(sys::read_file("/proc/interrupts")))) {
            if (!std::ranges::binary_search(own, line.irq)) continue;
            set(line.irq, "1");
            if (line.name.contains("input")) input.push_back(line.irq);
        }
        must(input.size() == 2, "find two receive queues");
    }

    static void set(std::uint32_t irq, const std::string& cpus) {
        must(sys::write_file(fmt::format("/proc/irq/{}/smp_affinity", irq), cpus).has_value(), "move an interrupt");
    }
    static std::string cpus(std::uint32_t irq) {
        const std::string text = take(sys::read_file(fmt::format("/proc/irq/{}/smp_affinity", irq)));
        return text.substr(0, text.find('\n'));
    }
    [[nodiscard]] Scope scope(std::uint32_t irq) const {
        Scope scope{.netns = take(sys::own_netns()), .netns_pid = 0, .listener = {}, .pod = {}};
        scope.queue = QueueRef{.device = device, .ifindex = ifindex, .queue = irq};
        return scope;
    }
};

} // namespace bpftune::testing

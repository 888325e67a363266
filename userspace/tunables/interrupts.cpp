// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::array rows{
    Tunable{
        .id = TunableId::smp_affinity,
        .key = "smp_affinity",
        .name = "smp_affinity",
        .kind = Kind::interrupt,
        .path = {},
        .kernel_min = 1,
        .kernel_max = any_cpu,
        .is_cpus = true,
        .judged_by = JudgedBy::throughput,
        .default_max = any_cpu,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none",
        .serves = "softirq.softirq_percent",
        .help = "The CPUs that may be given an interrupt of a network device of the node; one of them is, and takes in "
                "the packets of the receive queue that it is for. `max` is those to which one may be moved.",
        .risk = "What is moved takes time from whoever runs on the other CPU, and leaves the caches of the one where "
                "it was. While it is on trial that is seen and taken back; what comes later is not.",
        .source = "kernel/irq/proc.c, kernel/irq/manage.c (irq_set_affinity)",
        .formula =
            "one CPU, the idlest that is not isolated, of the device's NUMA node where it has one, for one "
            "interrupt: of two or more that receive and that one CPU is given twice a second or more, and a tenth as "
            "often as the busiest of the device or more, the second busiest. Only "
            "where that CPU has no time left for packets, as for rps_cpus, while the other has half of its own to "
            "spare, and where irqbalance does not run",
        .derived = "Documentation/networking/scaling.rst: each receive queue's interrupt to a CPU of its own. One is "
                   "moved at a time, and what came of it is judged as for rps_cpus.",
        .assumes = "There are several flows: the queues share them, and one flow alone is in one queue. A queue that "
                   "never runs empty is polled and has no interrupts, so that it is not seen. Where its driver polls "
                   "on without a look at smp_affinity (virtio_net) it would stay where it is; where the driver looks, "
                   "it would move, and is left alone all the same. What came before and since is the same load, asking "
                   "for as much as it gets.",
    },
};

} // namespace

std::span<const Tunable> interrupt_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::array rows{
    Tunable{
        .id = TunableId::rps_cpus,
        .key = "rps_cpus",
        .name = "rps_cpus",
        .kind = Kind::rx_queue,
        .path = {},
        .kernel_min = 0,
        .kernel_max = any_cpu,
        .is_cpus = true,
        .judged_by = JudgedBy::throughput,
        .default_max = any_cpu,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .memory = "none by itself: what is spread waits in the backlogs of more CPUs (net.core.netdev_max_backlog)",
        .serves = "softirq.softirq_percent",
        .help = "The CPUs among which packets of a device's receive queue are spread, each flow to one of them (RPS, "
                "receive packet steering), in place of the one that took them in. `max` is those that may be named.",
        .risk =
            "Passing a packet to another CPU costs time, and takes it from whoever runs there. Senders on this node "
            "that were as slow as their packets were taken in overrun the other CPUs instead: here UDP that had "
            "lost nothing lost 86 of 100. While it is on trial that is seen and taken back; once it is kept nobody "
            "watches what it does: `restore` takes it back.",
        .source = "net/core/dev.c (get_rps_cpu), net/core/net-sysfs.c",
        .formula =
            "the CPUs that are online and not isolated (isolcpus, nohz_full), of the device's NUMA node where it has "
            "one, without the one that has no time left; only from 0, which is nobody's choice, where a CPU has spent "
            "90 % of its time in softirqs for 5 s, "
            "or 75 "
            "% and had none left, while another had half of its own to spare, and one device with one receive queue "
            "brought most of its "
            "packets",
        .derived =
            "Documentation/networking/scaling.rst: the CPUs that share the device's memory, without the one "
            "that takes its interrupts where that has none to spare. The trial asks for a twentieth more bytes a "
            "second of this device, or half of what these CPUs and the one without time lose, at no more than twice "
            "the softirq time of them for each byte. Packets a second would not tell: those of TCP become larger where "
            "they are taken faster.",
        .assumes =
            "There are several flows: one alone goes to one CPU, at any set. What the device brought before and "
            "since is the same load, asking for as much as it gets. Of what it sends ACKs come back: where it receives "
            "little else, their bytes do not tell how fast that is. No backlog or budget is on trial "
            "meanwhile: these wait for it, and it for them.",
    },
};

} // namespace

std::span<const Tunable> steering_rows() { return rows; }

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
// The CPU that is given an interrupt of a network device: smp_affinity.
//
// A device with several receive queues has an interrupt for each, and packets are taken in, and carried through all of
// the network stack, by the CPU that is given it. Where one CPU is given two or more, and has no time left while
// another has, one of them is moved there: the second busiest, so that no more than is needed moves, one at a time.
//
// Which CPU an interrupt is delivered to is known, and how many each has been given: so it is known by which queues a
// hot CPU gets its packets, but of those alone that run empty now and then. One that never does is polled, without
// interrupts, on the CPU where it is (net/core/dev.c, napi_poll), and would stay there; one that hardly does has few:
// what counts is that it has some, by the next of which it moves, and no fewer than a tenth of its device's busiest.
//
// irqbalance moves interrupts every ten seconds: where it runs, all are its own.
//
// The trial asks for more bytes a second that the device received, or fewer packets that both CPUs lost, as that of
// rps_cpus does (JudgedBy::throughput).
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace device_interrupts {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace device_interrupts

inline constexpr Resource interrupts{
    .read = device_interrupts::read, .rule = device_interrupts::rule, .show = device_interrupts::show};

} // namespace bpftune::controller

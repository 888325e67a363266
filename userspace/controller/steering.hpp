// SPDX-License-Identifier: Apache-2.0
// The spreading of packets over CPUs (RPS): rps_cpus of a network device's receive queue.
//
// A device with one receive queue has its packets taken in, and then carried through all of the network stack, by the
// CPU that its interrupts go to; a veth by the CPU of who sends. Where that CPU has no time left while others have, the
// rest of the way may be another CPU's: so those that are online are named there, but for the one that has none to
// spare. Only where nobody has named any: whatever is set is somebody's choice.
//
// What is known is how many packets a CPU has processed, and how many a device has received; not which device a CPU has
// them from. So it has to be plain: one device received at least half as many as the hot CPU processed, and no other
// one half as many as that. A packet that a bridge, VLAN or veth passes on is counted again by each, on the CPU too:
// among such it is the one by which they enter the node, if there is one, and a quarter of what the CPU processed will
// do.
//
// It may make all worse: the trial asks for more bytes a second that this device received, or fewer packets that the
// hot CPU and those that were named lost (JudgedBy::throughput). What other devices bring these CPUs meanwhile can only
// speak against it. A longer backlog, or longer turns, would speak for it: no two of these are on trial at once.
#pragma once

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace packet_steering {
void read(const View& view, std::vector<Reading>& readings);
void rule(Gate& gate);
void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot);
} // namespace packet_steering

inline constexpr Resource steering{
    .read = packet_steering::read, .rule = packet_steering::rule, .show = packet_steering::show};

} // namespace bpftune::controller

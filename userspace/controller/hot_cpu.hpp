// SPDX-License-Identifier: Apache-2.0
// A CPU that has no time left for packets, beside others that have: for what gives some of its work to these.
#pragma once

#include <cstdint>
#include <span>

#include "controller/reading.hpp"
#include "controller/state.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"

namespace bpftune::controller {

// What comes before a trial is compared with what comes in it: half as long.
inline constexpr Nanoseconds hot_long_enough = std::chrono::seconds(5);

// It has been so for long enough; nullptr: there is none.
const SoftirqCpu* hot_cpu_of(const Snapshot& snapshot);

// Of a SteeredDevice, or the device of a DeviceInterrupt.
ReceiveRate received_by(const auto& row) { return {.packets = row.packets_per_second, .bytes = row.bytes_per_second}; }
ReceiveRate mean_received_by(const auto& row) {
    return {.packets = row.mean_packets_per_second, .bytes = row.mean_bytes_per_second};
}

// nullptr: none of them has half of its time to spare.
const SoftirqCpu* idlest_of(const Snapshot& snapshot, std::uint64_t cpus);

// What a device received, and what these CPUs lost and took in that time. A veth does not count what was lost as
// received (drivers/net/veth.c, veth_xmit), hardware does: but where more is lost than before, nothing is kept.
Measured measured(std::span<const CpuWork> work, std::uint64_t cpus, const ReceiveRate& received, Nanoseconds length);

// The same in the last interval, by the CPUs that the trial of `object` is about; nothing where there is none.
Measured measured_on_trial(const View& view, const ObjectKey& object, const ReceiveRate& received);

// Whether anything that gives packets to other CPUs is on trial, or is being taken back: of two at once it could not be
// told what each does.
bool tries_other_cpus(const State& state);

} // namespace bpftune::controller

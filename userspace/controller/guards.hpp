// SPDX-License-Identifier: Apache-2.0
// What must not get worse while a change is on trial, and by how much it may.
//
//   guard              worse when                                  source
//   memory pressure    10 points more than before                  /proc/pressure/memory, some avg10
//   available memory   it fell below a twentieth of the node's     /proc/meminfo, MemAvailable
//   TCP memory         it rose past `pressure` or past `high`      /proc/net/sockstat (TCP: mem), net.ipv4.tcp_mem
//   UDP memory         three quarters of `low`, and was not        /proc/net/sockstat (UDP: mem), net.ipv4.udp_mem
//   softirq time       25 points more than before                  /proc/stat, mean of 10 s over all CPUs
//
// What is unknown, before or now, does not count.
#pragma once

#include <cstdint>
#include <string>

#include "core/snapshot.hpp"

namespace bpftune::controller {

// What got worse, in words; empty: nothing. `memory_bytes`: the node's.
std::string worsened(const Guards& before, const Guards& now, std::uint64_t memory_bytes);

} // namespace bpftune::controller

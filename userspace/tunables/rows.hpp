// SPDX-License-Identifier: Apache-2.0
// The rows of each resource, in the order of TunableId. catalog() has them all.
#pragma once

#include <cstdint>
#include <limits>
#include <span>

#include "tunables/catalog.hpp"

namespace bpftune::tunables {

inline constexpr std::uint64_t int_max = 2147483647; // of a sysctl that is an int of the kernel's
inline constexpr std::uint64_t any_cpu = std::numeric_limits<std::uint64_t>::max(); // of a set of CPUs (is_cpus)

std::span<const Tunable> accept_queue_rows();
std::span<const Tunable> conntrack_rows();
std::span<const Tunable> conntrack_timeout_rows();
std::span<const Tunable> tcp_buffer_rows();
std::span<const Tunable> udp_buffer_rows();
std::span<const Tunable> backlog_rows();
std::span<const Tunable> port_rows();
std::span<const Tunable> neighbour_rows();
std::span<const Tunable> fragment_rows();
std::span<const Tunable> socket_memory_rows();
std::span<const Tunable> socket_size_rows();
std::span<const Tunable> tw_reuse_rows();
std::span<const Tunable> congestion_rows();
std::span<const Tunable> fast_open_rows();
std::span<const Tunable> steering_rows();
std::span<const Tunable> interrupt_rows();

} // namespace bpftune::tunables

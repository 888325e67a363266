// SPDX-License-Identifier: Apache-2.0
// Where this kernel keeps the counters that namespaces are asked for.
#pragma once

#include <array>

#include "bpf/abi/census.h"
#include "core/result.hpp"

namespace bpftune::probes {

// Index of each in LINUX_MIB_*, TCP_MIB_*, UDP_MIB_* and IPSTATS_MIB_* (include/uapi/linux/snmp.h), anonymous enums
// whose values move between kernels; -1: not counted here, or not below ABI_MOST_MIBS. Takes 15-25 ms: the kernel's
// whole BTF is read and forgotten again.
struct MibIndices {
    std::array<int, ABI_MIB_COUNT> tcp{};
    std::array<int, ABI_TCP_MIB_COUNT> snmp_tcp{};
    std::array<int, ABI_UDP_MIB_COUNT> udp{};
    std::array<int, ABI_IP_MIB_COUNT> ip{};
};
Result<MibIndices> mib_indices();

} // namespace bpftune::probes

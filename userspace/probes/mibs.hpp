// SPDX-License-Identifier: Apache-2.0
// Where this kernel keeps the counters that namespaces are asked for.
#pragma once

#include <array>

#include "bpf/abi/census.h"
#include "core/result.hpp"

namespace bpftune::probes {

// Index of each in LINUX_MIB_* (include/uapi/linux/snmp.h), an anonymous enum whose values move between kernels;
// -1: not counted here. Takes 15-25 ms: the kernel's whole BTF is read and forgotten again.
using MibIndices = std::array<int, ABI_MIB_COUNT>;
Result<MibIndices> mib_indices();

} // namespace bpftune::probes

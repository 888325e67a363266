// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace bpftune::sys {

// Whether the calling thread has it in its effective set: CAP_SYS_PTRACE, ... of <linux/capability.h>.
bool has_capability(int capability);

} // namespace bpftune::sys

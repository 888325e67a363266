// SPDX-License-Identifier: Apache-2.0
// What the calling process takes of the machine: getrusage(2), getrlimit(2) and its own files below /proc.
#pragma once

#include "core/process_use.hpp"

namespace bpftune::sys {

ProcessUse own_process();

} // namespace bpftune::sys

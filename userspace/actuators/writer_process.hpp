// SPDX-License-Identifier: Apache-2.0
// The child's side of the writer.
#pragma once

#include <span>

#include <sys/types.h>

namespace bpftune::actuators {

// Runs in the forked child and never returns. Gives up what it does not need (descriptors, signals, capabilities),
// says so with a first answer, then serves requests until the other end of `socket` is closed.
[[noreturn]] void run_writer_process(int socket, std::span<const int> inherit, pid_t parent);

} // namespace bpftune::actuators

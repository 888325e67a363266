// SPDX-License-Identifier: Apache-2.0
// The only place that reads a clock.
#pragma once

#include "core/time.hpp"

namespace bpftune::sys {

Now now();

// The time that the machine was suspended counts.
Nanoseconds since_boot();

// What the calling thread has cost so far. Moments in which the machine did something else do not count.
Nanoseconds thread_cpu_time();

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
// The only place that reads a clock.
#pragma once

#include "core/time.hpp"

namespace bpftune::sys {

Now now();

} // namespace bpftune::sys

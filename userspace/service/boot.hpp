// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/result.hpp"

namespace bpftune::service {

// /proc/sys/kernel/random/boot_id: what identities of kernel objects are valid for.
Result<std::string> boot_id();

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// One instance at a time: whoever may write holds the lock of the state directory.
#pragma once

#include <filesystem>

#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

// Creates `state_dir` (0750) when it is not there. Waits up to `patience` for another holder: a writer whose service
// was killed dies an instant later. The error says who holds it, or which of the two is not ours alone
// (sys/own_files.hpp). A file of that name that holds anything but a process id stays as it is.
Result<sys::Fd> lock_state(const std::filesystem::path& state_dir, Nanoseconds patience);

} // namespace bpftune::service

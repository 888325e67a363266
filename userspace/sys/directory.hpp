// SPDX-License-Identifier: Apache-2.0
// Directories whose entries are numbers: /proc, /proc/PID/fd.
#pragma once

#include <filesystem>
#include <vector>

#include "core/result.hpp"

namespace bpftune::sys {

// The entries that are whole decimal numbers, ascending. The error's code is errno.
Result<std::vector<int>> numbered_entries(const std::filesystem::path& directory);

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
// Directories whose entries are numbers: /proc, /proc/PID/fd.
#pragma once

#include <cstddef>
#include <filesystem>
#include <limits>
#include <vector>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// The entries that are whole decimal numbers, ascending: the first `most` that the kernel lists, which of /proc/PID/fd
// are the lowest. The error's code is errno.
Result<std::vector<int>> numbered_entries(const std::filesystem::path& directory,
                                          std::size_t most = std::numeric_limits<std::size_t>::max());

// Of a /proc/PID/fd those from descriptor `from` on, the first `most`: at once, however many are before them.
Result<std::vector<int>> descriptors_from(const std::filesystem::path& directory, int from, std::size_t most);

// All such entries of a directory below another one.
Result<std::vector<int>> numbered_entries(const Fd& above, const char* path);

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
// Small kernel files, read and written whole.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

inline constexpr std::size_t largest_file = std::size_t{16} << 20;

// The whole file; one that is larger is an error. The error's code is errno.
Result<std::string> read_file(const std::filesystem::path& path, std::size_t largest = largest_file);

// All of an open file, from its beginning; else the same.
Result<std::string> read_all(const Fd& file, std::size_t largest = largest_file);

// A file that holds one decimal number and white space: a sysctl.
Result<std::uint64_t> read_number(const std::filesystem::path& path);

// One write(2), as /proc/sys wants it. A short write is an error.
Result<> write_file(const std::filesystem::path& path, std::string_view text);

} // namespace bpftune::sys

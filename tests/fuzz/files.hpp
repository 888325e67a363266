// SPDX-License-Identifier: Apache-2.0
// Bytes as a file, for what takes a path.
#pragma once

#include <filesystem>

#include <sys/mman.h>
#include <unistd.h>

#include <fmt/format.h>

#include "fuzz/fuzz.hpp"
#include "sys/fd.hpp"

namespace bpftune::fuzz {

class MemoryFile {
public:
    explicit MemoryFile(std::span<const std::byte> bytes) : file_(::memfd_create("fuzz", MFD_CLOEXEC)) {
        must(::write(file_.value(), bytes.data(), bytes.size()) == static_cast<ssize_t>(bytes.size()),
             "a file can be written");
    }
    [[nodiscard]] std::filesystem::path path() const { return fmt::format("/proc/self/fd/{}", file_.value()); }

private:
    sys::Fd file_;
};

} // namespace bpftune::fuzz

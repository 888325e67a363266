// SPDX-License-Identifier: Apache-2.0
// What is mounted where in this mount namespace.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace bpftune::sys {

struct Mount {
    std::string root;  // what of the file system is there: "/", "/kubepods", "net:[4026532247]"
    std::string point; // where
    std::string type;  // of the file system

    bool operator==(const Mount&) const = default;
};

// The text of /proc/self/mountinfo (Documentation/filesystems/proc.rst, 3.5), octal escapes undone. What is no line of
// it is left out.
std::vector<Mount> parse_mountinfo(std::string_view text);

// The folder of the cgroup2 hierarchy's root, in hybrid set-ups as well. Error: it is not mounted here, or only the
// part of it that a container is in.
Result<std::filesystem::path> cgroup2_root(const std::filesystem::path& proc);

} // namespace bpftune::sys

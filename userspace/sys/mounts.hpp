// SPDX-License-Identifier: Apache-2.0
// What is mounted where in this mount namespace.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/result.hpp"
#include "sys/fd.hpp"

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

// A file to which a network namespace is bound: `ip netns`, a CNI plugin or a container runtime does that, and it lives
// on when no process is in it.
struct BoundNetns {
    std::uint32_t inode = 0;
    std::string path;
    [[nodiscard]] std::string name() const { return path.substr(path.rfind('/') + 1); } // raw bytes

    bool operator==(const BoundNetns&) const = default;
};

// All of a /proc/PID/mountinfo, by inode; of one that has several, those that `ip netns` shows come first.
std::vector<BoundNetns> bound_namespaces(std::string_view mountinfo);

// Whose mounts show what is bound on the node: ours, and where they are others, those of process 1.
struct MountView {
    std::filesystem::path mountinfo;
    std::string root; // in front of a path there, for us to open it: "/proc/1/root"
};
std::vector<MountView> mount_views(const std::filesystem::path& proc);

// A /proc/PID/mountinfo, which is read again only when the kernel says that it has changed (fs/proc_namespace.c,
// mounts_poll): of thousands of mounts that takes milliseconds. Holds the mount namespace.
class MountInfo {
public:
    explicit MountInfo(std::filesystem::path path) : path_(std::move(path)) {}

    // Its text if that is another than the last one; nullopt: as it was. Error: the next call tries again.
    Result<std::optional<std::string>> changed();

private:
    std::filesystem::path path_;
    Fd file_;
};

// The folder of the cgroup2 hierarchy's root, in hybrid set-ups as well. Error: it is not mounted here, or only the
// part of it that a container is in.
Result<std::filesystem::path> cgroup2_root(const std::filesystem::path& proc);

} // namespace bpftune::sys

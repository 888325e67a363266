// SPDX-License-Identifier: Apache-2.0
// Cgroups for tests, named as the kubelet and the runtimes do: of v2, or of a v1 hierarchy of the test's own.
#pragma once

#include <filesystem>
#include <string>

#include <sys/mount.h>

#include "netns/probes/traffic.hpp"
#include "sys/files.hpp"
#include "temporary_directory.hpp"

namespace bpftune::testing {

enum class CgroupVersion { v1, v2 };

// Mounted where nobody else looks.
class Hierarchy {
public:
    explicit Hierarchy(CgroupVersion version) {
        // A hierarchy without controllers, as systemd's own is.
        const std::string options = "none,name=" + random_name("bpftune-");
        const bool is_mounted = version == CgroupVersion::v2
                                    ? ::mount("none", folder_.path().c_str(), "cgroup2", 0, nullptr) == 0
                                    : ::mount("none", folder_.path().c_str(), "cgroup", 0, options.c_str()) == 0;
        must(is_mounted, "mount a cgroup hierarchy");
    }
    Hierarchy(const Hierarchy&) = delete;
    Hierarchy& operator=(const Hierarchy&) = delete;
    ~Hierarchy() { ::umount2(folder_.path().c_str(), MNT_DETACH); }

    [[nodiscard]] const std::filesystem::path& path() const { return folder_.path(); }

private:
    TemporaryDirectory folder_;
};

// One cgroup, and those above it as far as nobody else has them. What is in it has ended when the object does.
class Cgroup {
public:
    Cgroup(const Hierarchy& hierarchy, const std::filesystem::path& name)
        : root_(hierarchy.path()), path_(hierarchy.path() / name) {
        std::filesystem::create_directories(path_);
    }
    Cgroup(const Cgroup&) = delete;
    Cgroup& operator=(const Cgroup&) = delete;
    ~Cgroup() {
        comes_true([this] { return ::rmdir(path_.c_str()) == 0 || errno != EBUSY; });
        for (auto above = path_.parent_path(); above != root_ && ::rmdir(above.c_str()) == 0;)
            above = above.parent_path();
    }

    // The calling process.
    void enter() const {
        must(sys::write_file(path_ / "cgroup.procs", std::to_string(::getpid())).has_value(),
             "enter " + path_.string());
    }

private:
    std::filesystem::path root_;
    std::filesystem::path path_;
};

inline std::string hex_digits(std::size_t count) {
    std::random_device random;
    std::string digits;
    while (digits.size() < count) digits += fmt::format("{:08x}", random());
    return digits.substr(0, count);
}

inline std::string random_uid() {
    const std::string digits = hex_digits(32);
    return fmt::format("{}-{}-{}-{}-{}", digits.substr(0, 8), digits.substr(8, 4), digits.substr(12, 4),
                       digits.substr(16, 4), digits.substr(20));
}

// A container of a pod that only this test has.
struct PodCgroup {
    std::string uid = random_uid();
    std::string container = hex_digits(64);

    [[nodiscard]] std::string path() const { return "kubepods/besteffort/pod" + uid + "/" + container; }
    [[nodiscard]] std::string short_container() const { return container.substr(0, 12); }
};

} // namespace bpftune::testing

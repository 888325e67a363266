// SPDX-License-Identifier: Apache-2.0
#include "sys/host_proc.hpp"

#include <string>

#include <linux/magic.h>
#include <sys/mount.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

namespace bpftune::sys {
namespace {

namespace fs = std::filesystem;

// A procfs of another process namespace has no "self" for us, or one of another number.
bool shows_this_process(const fs::path& proc) {
    struct statfs status{};
    if (::statfs(proc.c_str(), &status) != 0 || status.f_type != PROC_SUPER_MAGIC) return false;
    std::error_code error;
    return fs::read_symlink(proc / "self", error) == std::to_string(::getpid()) && !error;
}

} // namespace

bool is_read_only(const fs::path& path) {
    struct statvfs status{};
    return ::statvfs(path.c_str(), &status) == 0 && (status.f_flag & ST_RDONLY) != 0;
}

Result<> take_host_proc(const fs::path& host, const fs::path& own) {
    if (!is_read_only(own / "sys") || !shows_this_process(host) || is_read_only(host / "sys")) return {};
    if (::mount(host.c_str(), own.c_str(), nullptr, MS_BIND | MS_REC, nullptr) == 0) return {};
    return system_failure(errno, "mount {} over {}", host.string(), own.string());
}

} // namespace bpftune::sys

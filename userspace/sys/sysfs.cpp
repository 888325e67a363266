// SPDX-License-Identifier: Apache-2.0
#include "sys/sysfs.hpp"

#include <linux/mount.h>
#include <memory>

#include <dirent.h>
#include <fcntl.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/parse.hpp"
#include "sys/files.hpp"

namespace bpftune::sys {

// glibc has these since 2.36, whose <sys/mount.h> does not go with <linux/mount.h>.
Result<Fd> mount_sysfs() {
    const Fd context(static_cast<int>(::syscall(SYS_fsopen, "sysfs", FSOPEN_CLOEXEC)));
    if (!context) return system_failure(errno, "fsopen sysfs");
    if (::syscall(SYS_fsconfig, context.value(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0)
        return system_failure(errno, "fsconfig sysfs");
    Fd mount(static_cast<int>(::syscall(SYS_fsmount, context.value(), FSMOUNT_CLOEXEC,
                                        MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)));
    if (!mount) return system_failure(errno, "fsmount sysfs");
    return mount;
}

Result<Fd> open_device(const Fd& sysfs, const std::string& name) {
    if (name.empty() || name == "." || name == ".." || name.contains('/'))
        return failure("'{}' is no name of a device", name);
    Fd folder(::openat(sysfs.value(), ("class/net/" + name).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder) return system_failure(errno, "open class/net/{}", name);
    return folder;
}

Result<Fd> find_device(const Fd& sysfs, std::uint32_t ifindex) {
    const int listed = ::openat(sysfs.value(), "class/net", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (listed < 0) return system_failure(errno, "open class/net");
    const std::unique_ptr<DIR, decltype([](DIR* folder) { ::closedir(folder); })> folder(::fdopendir(listed));
    if (!folder) return system_failure(errno, "read class/net");
    while (const dirent* entry = ::readdir(folder.get())) {
        auto device = open_device(sysfs, entry->d_name);
        const auto index = device ? ifindex_of(*device) : std::unexpected(device.error());
        if (index && *index == ifindex) return device;
    }
    return system_failure(ENOENT, "no device has the index {}", ifindex);
}

Result<std::string> read_below(const Fd& folder, const std::string& path) {
    const Fd file(::openat(folder.value(), path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return system_failure(errno, "open {}", path);
    return read_all(file);
}

Result<std::uint32_t> ifindex_of(const Fd& device) {
    const auto text = read_below(device, "ifindex");
    const auto index = text ? parse_number(text->substr(0, text->find('\n'))) : std::unexpected(text.error());
    if (!index) return std::unexpected(index.error());
    return static_cast<std::uint32_t>(*index);
}

Result<> write_below(const Fd& folder, const std::string& path, const std::string& text) {
    const Fd file(::openat(folder.value(), path.c_str(), O_WRONLY | O_CLOEXEC));
    if (!file) return system_failure(errno, "open {}", path);
    const ssize_t size = ::write(file.value(), text.data(), text.size());
    if (size < 0) return system_failure(errno, "write {} to {}", text, path);
    if (static_cast<std::size_t>(size) != text.size()) return failure("write {} to {}: cut short", text, path);
    return {};
}

bool is_read_only(const Fd& sysfs) {
    struct statvfs status{};
    return ::fstatvfs(sysfs.value(), &status) == 0 && (status.f_flag & ST_RDONLY) != 0;
}

} // namespace bpftune::sys

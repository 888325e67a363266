// SPDX-License-Identifier: Apache-2.0
// Network devices of a namespace in sysfs. Which devices a sysfs shows is settled when it is mounted, so that of
// another namespace is a mount of our own, which is at no place: nobody sees it, and it ends with its descriptor.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// Of the network namespace that the thread is in (CAP_SYS_ADMIN). It does not keep the namespace from ending.
Result<Fd> mount_sysfs();

// Its folder class/net/NAME, which goes on being that device's when it gets another name. Error code ENOENT: there is
// no such device.
Result<Fd> open_device(const Fd& sysfs, const std::string& name);

// The folder of the device that has this index, by whatever name. Error code ENOENT: there is none.
Result<Fd> find_device(const Fd& sysfs, std::uint32_t ifindex);

// A file below the folder of a device, whole.
Result<std::string> read_below(const Fd& folder, const std::string& path);

// The index of a device, by its folder.
Result<std::uint32_t> ifindex_of(const Fd& device);

// One write to it, of all of `text`.
Result<> write_below(const Fd& folder, const std::string& path, const std::string& text);

// Whether nothing below it can be written: a container runtime mounts a namespace's sysfs so, and that holds for every
// mount of it (fs/kernfs/mount.c: all are one superblock).
bool is_read_only(const Fd& sysfs);

} // namespace bpftune::sys

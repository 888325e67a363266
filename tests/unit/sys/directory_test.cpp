// SPDX-License-Identifier: Apache-2.0
#include "sys/directory.hpp"

#include <array>
#include <filesystem>

#include <catch2/catch.hpp>
#include <fcntl.h>

#include "sys/interrupts.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::sys;

namespace fs = std::filesystem;

namespace {

Fd opened(const fs::path& folder) { return Fd(::open(folder.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC)); }

void make(const fs::path& folder, std::initializer_list<const char*> names) {
    for (const char* name : names) fs::create_directories(folder / name);
}

} // namespace

TEST_CASE("the entries of a folder that are numbers are told in their order, by its path and from one above") {
    const testing::TemporaryDirectory directory;
    make(directory.path() / "fd", {"10", "9", "self", "-1", "7x"});
    const std::vector<int> numbers{9, 10};
    CHECK(numbered_entries(directory.path() / "fd").value() == numbers);
    CHECK(numbered_entries(opened(directory.path()), "fd").value() == numbers);
    CHECK(numbered_entries(directory.path() / "fd", 1).value().size() == 1);
    CHECK(numbered_entries(directory.path() / "none").error().code == ENOENT);
    CHECK(numbered_entries(opened(directory.path()), "none").error().code == ENOENT);
}

TEST_CASE("the interrupts of a device are its own, or where it is on virtio those of the device that carries it") {
    const testing::TemporaryDirectory directory;
    make(directory.path(), {"net/eth0", "pci/msi_irqs/25", "pci/msi_irqs/24", "pci/virtio0"});
    const fs::path eth0 = directory.path() / "net/eth0";
    SECTION("its own") {
        fs::create_directory_symlink(directory.path() / "pci", eth0 / "device");
        CHECK(device_interrupts(opened(eth0)) == std::vector<std::uint32_t>{24, 25});
    }
    SECTION("on virtio") {
        fs::create_directory_symlink(directory.path() / "pci/virtio0", eth0 / "device");
        CHECK(device_interrupts(opened(eth0)).empty());
        fs::create_directory_symlink("/sys/bus/virtio", eth0 / "device/subsystem");
        CHECK(device_interrupts(opened(eth0)) == std::vector<std::uint32_t>{24, 25});
    }
    SECTION("none") { CHECK(device_interrupts(opened(eth0)).empty()); }
}

// SPDX-License-Identifier: Apache-2.0
#include "probes/devices.hpp"

#include <optional>
#include <string>

#include <fcntl.h>
#include <unistd.h>

#include "core/text.hpp"
#include "probes/cpus.hpp"
#include "sys/files.hpp"
#include "sys/procfs.hpp"
#include "sys/sysfs.hpp"

namespace bpftune::probes {
namespace {

constexpr std::uint64_t most_queues = 4096; // net/core/rtnetlink.c, rtnl_create_link

bool has(const sys::Fd& device, const std::string& path) {
    return ::faccessat(device.value(), path.c_str(), F_OK, 0) == 0;
}

// Of a namespace that belongs to another user namespace: its root's, and neither this process nor the writer has
// CAP_DAC_OVERRIDE.
bool is_denied(const sys::Fd& device, const std::string& path) {
    return ::faccessat(device.value(), path.c_str(), W_OK, AT_EACCESS) != 0 && (errno == EACCES || errno == EPERM);
}

// They are numbered from 0 without a gap.
std::uint64_t queues_of(const sys::Fd& device) {
    std::uint64_t queues = 0;
    for (std::uint64_t step = most_queues; step > 0; step /= 2)
        if (has(device, fmt::format("queues/rx-{}", queues + step - 1))) queues += step;
    return queues;
}

// nullopt: it is gone.
Result<std::optional<DeviceReading>> look_at(const sys::Fd& sysfs, const sys::DeviceReceived& found) {
    const auto device = sys::open_device(sysfs, found.name);
    const auto index = device ? sys::ifindex_of(*device) : std::unexpected(device.error());
    if (!index && (index.error().code == ENOENT || index.error().code == ENODEV)) return std::nullopt;
    if (!index) return std::unexpected(index.error());
    return DeviceReading{.name = found.name,
                         .ifindex = *index,
                         .queues = queues_of(*device),
                         .is_hardware = has(*device, "device"),
                         .is_read_only = sys::is_read_only(sysfs),
                         .is_denied = is_denied(*device, "queues/rx-0/rps_cpus"),
                         .near = cpus_in(sys::read_below(*device, "device/local_cpus")),
                         .rps_cpus = cpus_in(sys::read_below(*device, "queues/rx-0/rps_cpus"))};
}

} // namespace

Result<std::vector<DeviceReading>> read_devices(const sys::Visit& visit, const WantsDevice& wanted) {
    std::vector<DeviceReading> devices;
    const auto text = sys::read_all(visit.counts);
    if (!text) return std::unexpected(text.error());
    for (const sys::DeviceReceived& each : sys::devices_received(*text)) {
        if (each.name == "lo" || printable(each.name) != each.name || !wanted(each.name, each.received)) continue;
        auto reading = look_at(visit.sysfs, each);
        if (!reading) return std::unexpected(reading.error());
        if (*reading) devices.push_back(std::move(**reading));
    }
    return devices;
}

} // namespace bpftune::probes

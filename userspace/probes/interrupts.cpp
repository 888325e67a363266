// SPDX-License-Identifier: Apache-2.0
#include "probes/interrupts.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include <sys/stat.h>

#include "core/text.hpp"
#include "probes/cpus.hpp"
#include "sys/directory.hpp"
#include "sys/files.hpp"
#include "sys/interrupts.hpp"
#include "sys/procfs.hpp"
#include "sys/sysfs.hpp"

namespace bpftune::probes {
namespace {

namespace fs = std::filesystem;

// Of one whose CPUs the kernel keeps to itself the file is read-only (kernel/irq/proc.c, register_irq_proc); older ones
// refuse the write.
bool is_read_only(const fs::path& file) {
    struct stat status{};
    return ::stat(file.c_str(), &status) == 0 && (status.st_mode & S_IWUSR) == 0;
}

// What it is of; its own file is read later.
void add_device(std::vector<InterruptReading>& readings, const sys::Fd& sysfs, const sys::DeviceReceived& device) {
    const std::string& name = device.name;
    if (printable(name) != name) return;
    const auto folder = sys::open_device(sysfs, name);
    if (!folder) return;
    const auto irqs = sys::device_interrupts(*folder);
    const auto index = irqs.empty() ? failure("none") : sys::ifindex_of(*folder);
    if (!index) return;
    const auto near = sys::read_below(*folder, "device/local_cpus");
    const auto near_cpus = near ? parse_cpus(near->substr(0, near->find('\n'))) : std::unexpected(near.error());
    for (const std::uint32_t irq : irqs)
        readings.push_back({.device = name,
                            .ifindex = *index,
                            .received = device.received,
                            .near = near_cpus ? std::optional(*near_cpus) : std::nullopt,
                            .irq = irq});
}

// Whether it is there, and somebody handles it.
bool look_at(InterruptReading& reading, const std::vector<sys::InterruptLine>& lines, const fs::path& proc) {
    const auto line = std::ranges::find(lines, reading.irq, &sys::InterruptLine::irq);
    const fs::path folder = proc / "irq" / std::to_string(reading.irq);
    const auto cpus = cpus_in(sys::read_file(folder / "smp_affinity"));
    if (line == lines.end() || !cpus) return false;
    reading.cpus = *cpus;
    reading.delivered_to = cpus_in(sys::read_file(folder / "effective_affinity"));
    reading.is_fixed = is_read_only(folder / "smp_affinity");
    reading.name = printable(line->name);
    reading.taken = line->taken;
    return true;
}

std::string command_of(const fs::path& proc, int pid) {
    const auto text = sys::read_file(proc / std::to_string(pid) / "comm");
    return text ? text->substr(0, text->find('\n')) : std::string();
}

constexpr int kthreadd = 2; // in the init pid namespace alone

} // namespace

Result<std::vector<InterruptReading>> read_interrupts(const sys::Visit& host, const fs::path& proc) {
    std::vector<InterruptReading> readings;
    const auto devices = sys::read_all(host.counts);
    if (!devices) return std::unexpected(devices.error());
    for (const sys::DeviceReceived& device : sys::devices_received(*devices)) add_device(readings, host.sysfs, device);
    const auto counts = readings.empty() ? Result<std::string>() : sys::read_file(proc / "interrupts");
    if (!counts) return std::unexpected(counts.error());
    const auto lines = sys::interrupt_lines(*counts);
    std::erase_if(readings, [&](InterruptReading& reading) { return !look_at(reading, lines, proc); });
    return readings;
}

std::optional<bool> runs_irqbalance(const fs::path& proc) {
    const auto pids = sys::numbered_entries(proc);
    if (!pids || command_of(proc, kthreadd) != "kthreadd") return std::nullopt;
    return std::ranges::any_of(*pids, [&](int pid) { return command_of(proc, pid) == "irqbalance"; });
}

} // namespace bpftune::probes

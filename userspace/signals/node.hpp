// SPDX-License-Identifier: Apache-2.0
// What is read of the node as a whole: its name and memory, the guards of a trial, and what one more of something takes
// of this kernel's memory.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/snapshot.hpp"
#include "signals/socket_memory.hpp"
#include "sys/procfs.hpp"

namespace bpftune::signals {

struct Node {
    std::string name;
    NetnsId host; // the init network namespace
    std::uint64_t memory_bytes = 0;
    std::uint64_t isolated_cpus = 0; // as of Snapshot
};

// Of this machine; name: the environment's NODE_NAME (as a DaemonSet sets it), else the host name.
Node this_node();

// Of the first 64 CPUs those that are isolated (isolcpus, nohz_full): the kernel takes them out of what is written to
// rps_cpus, and refuses it where none is left (net/core/net-sysfs.c, rps_cpumask_housekeeping).
std::uint64_t isolated_cpus(const std::filesystem::path& sys);

// What cannot be read is unknown and no problem: a kernel may have been built without PSI or /sys/kernel/slab.
class NodeReader {
public:
    explicit NodeReader(std::filesystem::path proc = "/proc", std::filesystem::path sys = "/sys");

    void tick(MonoTime now);

    // As of the last tick.
    [[nodiscard]] const Guards& guards() const { return guards_; }

    // What all sockets of TCP, and of UDP, share; as of the last tick.
    [[nodiscard]] const PoolReadings& pools() const { return pools_; }

    // Of each CPU, and when they were read.
    [[nodiscard]] const std::vector<sys::CpuInterrupts>& cpus() const { return cpus_; }
    [[nodiscard]] MonoTime cpus_read() const { return cpu_read_; }

    // Sizes of a running kernel do not change: each is read once, that of a conntrack entry when nf_conntrack is
    // loaded. The files are root's own (0400), which needs no capability.
    [[nodiscard]] const UnitBytes& unit_bytes() const { return unit_bytes_; }

private:
    void read_memory();
    void read_softirq(MonoTime now);
    void read_unit_bytes();
    void read_pools();
    [[nodiscard]] std::optional<std::uint64_t> slab_bytes(const char* cache) const;

    std::filesystem::path proc_;
    std::filesystem::path sys_;
    Guards guards_;
    PoolReadings pools_;
    UnitBytes unit_bytes_;
    std::optional<sys::CpuTime> cpu_time_; // of the last reading
    std::vector<sys::CpuInterrupts> cpus_;
    MonoTime cpu_read_;
    MonoTime next_cpu_reading_;
};

} // namespace bpftune::signals

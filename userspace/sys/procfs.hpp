// SPDX-License-Identifier: Apache-2.0
// The kernel's counters as /proc prints them. Pure: text in, numbers out.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace bpftune::sys {

// One CPU's row of /proc/net/softnet_stat (net/core/net-procfs.c, softnet_seq_show).
struct SoftnetRow {
    unsigned cpu = 0; // kernels before 5.10 do not say: the number of the row among the online CPUs
    std::uint64_t processed = 0;
    std::uint64_t dropped = 0;
    std::uint64_t time_squeeze = 0;
    std::optional<std::uint64_t> backlog; // packets waiting; 5.10 and later
    std::uint64_t flow_limited = 0;       // of those dropped

    bool operator==(const SoftnetRow&) const = default;
};

// The counters are 32 bits wide in the kernel and wrap.
Result<std::vector<SoftnetRow>> parse_softnet_stat(std::string_view text);

// /proc/net/stat/nf_conntrack (net/netfilter/nf_conntrack_standalone.c), columns found by name. Entries are the
// namespace's; the counters are summed over the CPUs, each of which wraps at 32 bits.
struct ConntrackStat {
    std::uint64_t entries = 0;
    std::uint64_t insert_failed = 0;
    std::uint64_t drop = 0;
    std::uint64_t early_drop = 0;
    std::uint64_t chain_too_long = 0; // a part of insert_failed; kernels before 5.15 have no such limit, nor column

    bool operator==(const ConntrackStat&) const = default;
};
Result<ConntrackStat> parse_conntrack_stat(std::string_view text);

// /proc/net/stat/arp_cache or ndisc_cache (net/core/neighbour.c, neigh_stat_seq_show), columns found by name. Entries
// are the table's; the counters are summed over the CPUs. Each is a long of the kernel's.
struct NeighbourStat {
    std::uint64_t entries = 0;
    std::uint64_t allocs = 0;
    std::uint64_t res_failed = 0;
    std::uint64_t table_fulls = 0;

    bool operator==(const NeighbourStat&) const = default;
};
Result<NeighbourStat> parse_neighbour_stat(std::string_view text);

// /proc/net/netstat or /proc/net/snmp: two lines per group, one of names, one of numbers.
// netstat_value(text, "TcpExt", "ListenOverflows"); nullopt: this kernel does not count it.
std::optional<std::uint64_t> netstat_value(std::string_view text, std::string_view group, std::string_view name);

// /proc/net/sockstat: "TCP: inuse 5 orphan 0 tw 12 alloc 7 mem 1". sockstat_value(text, "TCP", "tw")
std::optional<std::uint64_t> sockstat_value(std::string_view text, std::string_view group, std::string_view name);

// /proc/meminfo: "MemAvailable:   12345 kB". meminfo_bytes(text, "MemAvailable")
std::optional<std::uint64_t> meminfo_bytes(std::string_view text, std::string_view name);

// The line "cpu" of /proc/stat, in ticks (USER_HZ) since boot, summed over all CPUs (fs/proc/stat.c, show_stat).
struct CpuTime {
    std::uint64_t softirq = 0;
    std::uint64_t total = 0; // idle time too; without guests', which is in user time already

    bool operator==(const CpuTime&) const = default;
};
std::optional<CpuTime> cpu_time(std::string_view text);

// The lines "cpuN" of the same: the CPUs that are online.
struct CpuInterrupts {
    unsigned cpu = 0;
    std::uint64_t taken = 0; // by interrupts and softirqs, those of ksoftirqd too, and by the hypervisor
    std::uint64_t total = 0;
    std::uint64_t idle = 0; // with nothing to do but wait for a disk

    bool operator==(const CpuInterrupts&) const = default;
};
std::vector<CpuInterrupts> cpus_interrupts(std::string_view text);

// What a network device has received since it was made. A packet that was put together, as a local sender hands TCP to
// a veth, is one, with all of its bytes.
struct Received {
    std::uint64_t packets = 0;
    std::uint64_t bytes = 0;

    bool operator==(const Received&) const = default;
};

// A line of /proc/net/dev (net/core/net-procfs.c, dev_seq_printf_stats).
struct DeviceReceived {
    std::string name; // raw bytes
    Received received;

    bool operator==(const DeviceReceived&) const = default;
};
std::vector<DeviceReceived> devices_received(std::string_view text);

// A sysctl of several numbers: "4096\t131072\t33554432\n". Empty: it is something else.
std::vector<std::uint64_t> sysctl_numbers(std::string_view text);

// /proc/pressure/memory: "some avg10=1.25 avg60=...", percent of the last 10 s in which some task waited.
std::optional<double> pressure_avg10(std::string_view text);

// What the kernel makes of text that is written to a sysctl of whole numbers (kernel/sysctl.c, proc_get_long): its
// words up to the first that it refuses, or that is negative; decimal, octal or hexadecimal as in C. A sysctl of one
// number takes the first.
std::vector<std::uint64_t> written_numbers(std::string_view written);

} // namespace bpftune::sys

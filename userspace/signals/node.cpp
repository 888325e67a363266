// SPDX-License-Identifier: Apache-2.0
#include "signals/node.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <utility>

#include <unistd.h>

#include "core/cpus.hpp"
#include "core/text.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/netns.hpp"

namespace bpftune::signals {
namespace {

// /proc/stat sums every interrupt over every CPU before it prints the first line: 10 us on 2 CPUs, a millisecond or
// more on a hundred. It is left alone for so many times as long as the last reading took.
constexpr int cpu_reading_pause = 2000;
// Softirq time comes in bursts: its mean is taken over about as long as PSI's avg10 is.
constexpr double softirq_memory_seconds = 10;

// The extensions of a conntrack entry (NAT, accounting, events, labels, timeout) are in one allocation beside it,
// struct nf_ct_ext: at least NF_CT_EXT_PREALLOC bytes, which is a kmalloc-128. All of them that Kubernetes uses fit.
// net/netfilter/nf_conntrack_extend.c
constexpr std::uint64_t extension_bytes = 128;
// The first segment of a request that waits to be read: half a page, as network drivers give one packet, and its struct
// sk_buff of 256 bytes in its slab. So truesize says of a small segment; loopback's is 1332.
constexpr std::uint64_t first_segment_bytes = 2048 + 256;

std::uint64_t page_bytes() { return static_cast<std::uint64_t>(std::max(::sysconf(_SC_PAGESIZE), 1L)); }

} // namespace

Node this_node() {
    Node node;
    std::array<char, 256> host{};
    if (const char* name = std::getenv("NODE_NAME"); name != nullptr && *name != '\0') {
        node.name = printable(name);
    } else if (::gethostname(host.data(), host.size() - 1) == 0) {
        node.name = printable(host.data());
    }
    if (const auto netns = sys::init_netns()) node.host = *netns;
    if (const auto pages = ::sysconf(_SC_PHYS_PAGES); pages > 0)
        node.memory_bytes = static_cast<std::uint64_t>(pages) * page_bytes();
    node.isolated_cpus = isolated_cpus("/sys");
    return node;
}

std::uint64_t isolated_cpus(const std::filesystem::path& sys) {
    std::uint64_t isolated = 0;
    for (const char* name : {"isolated", "nohz_full"}) { // the second is not there on every kernel
        const auto text = sys::read_file(sys / "devices/system/cpu" / name);
        const auto cpus = text ? parse_cpu_list(single_spaced(*text)) : std::unexpected(text.error());
        if (cpus) isolated |= cpus->first;
    }
    return isolated;
}

NodeReader::NodeReader(std::filesystem::path proc, std::filesystem::path sys)
    : proc_(std::move(proc)), sys_(std::move(sys)) {
    unit_bytes_.page = page_bytes();
    read_unit_bytes();
}

void NodeReader::tick(MonoTime now) {
    read_memory();
    read_pools();
    if (now >= next_cpu_reading_) read_softirq(now);
    if (!unit_bytes_.conntrack_entry) read_unit_bytes();
}

// What an object takes of its slab. Not from /proc/slabinfo, which counts the objects of every cache, under the locks
// that those who allocate need.
std::optional<std::uint64_t> NodeReader::slab_bytes(const char* cache) const {
    const auto bytes = sys::read_number(sys_ / "kernel/slab" / cache / "slab_size");
    return bytes && *bytes > 0 ? std::optional(*bytes) : std::nullopt;
}

void NodeReader::read_unit_bytes() {
    if (const auto entry = slab_bytes("nf_conntrack")) unit_bytes_.conntrack_entry = *entry + extension_bytes;
    if (unit_bytes_.queued_connection) return;
    // A connection that waits has its socket and the request_sock that leads accept() to it. One listener may have both
    // families; the larger counts.
    const auto either = [this](const char* v4, const char* v6) { return std::max(slab_bytes(v4), slab_bytes(v6)); };
    const auto socket = either("TCP", "TCPv6");
    const auto request = either("request_sock_TCP", "request_sock_TCPv6");
    if (!socket || !request) return;
    unit_bytes_.queued_connection = *socket + *request + first_segment_bytes;
    // The receive buffer that a new socket has. Namespaces take it from the init namespace when they are made.
    const auto rmem = sys::read_file(proc_ / "sys/net/ipv4/tcp_rmem");
    if (const auto sizes = sys::sysctl_numbers(rmem.value_or("")); sizes.size() == 3)
        unit_bytes_.full_connection = *socket + *request + std::max(sizes[1], first_segment_bytes);
}

void NodeReader::read_memory() {
    const auto pressure = sys::read_file(proc_ / "pressure/memory");
    guards_.memory_pressure = pressure ? sys::pressure_avg10(*pressure) : std::nullopt;
    const auto memory = sys::read_file(proc_ / "meminfo");
    guards_.memory_available_bytes = memory ? sys::meminfo_bytes(*memory, "MemAvailable") : std::nullopt;
}

void NodeReader::read_pools() {
    pools_ = {};
    guards_.tcp_memory.reset();
    guards_.udp_memory.reset();
    const auto sockets = sys::read_file(proc_ / "thread-self/net/sockstat");
    if (!sockets) return;
    const std::uint64_t page = page_bytes();
    const auto read = [&](const char* protocol, const char* sysctl) -> std::optional<PoolReading> {
        const auto limits = sys::read_file(proc_ / "sys/net/ipv4" / sysctl);
        const auto pages = sys::sockstat_value(*sockets, protocol, "mem");
        const auto three = sys::sysctl_numbers(limits.value_or("")); // low, pressure, high
        if (!pages || three.size() != 3) return std::nullopt;
        return PoolReading{.page = page,
                           .bytes = *pages * page,
                           .low = three[0] * page,
                           .pressure = three[1] * page,
                           .high = three[2] * page};
    };
    pools_ = {read("TCP", "tcp_mem"), read("UDP", "udp_mem")};
    if (const auto& tcp = pools_.front())
        guards_.tcp_memory = TcpMemory{.bytes = tcp->bytes, .pressure_bytes = tcp->pressure, .high_bytes = tcp->high};
    if (const auto& udp = pools_.back()) guards_.udp_memory = UdpMemory{.bytes = udp->bytes, .low_bytes = udp->low};
}

void NodeReader::read_softirq(MonoTime now) {
    const Nanoseconds begin = sys::thread_cpu_time();
    const auto text = sys::read_file(proc_ / "stat");
    next_cpu_reading_ = now + (sys::thread_cpu_time() - begin) * cpu_reading_pause;
    const auto time = text ? sys::cpu_time(*text) : std::nullopt;
    const auto before = std::exchange(cpu_time_, time);
    const double seconds = Seconds(now - std::exchange(cpu_read_, now)).count();
    cpus_ = text ? sys::cpus_interrupts(*text) : std::vector<sys::CpuInterrupts>();
    if (!time) guards_.softirq.reset();
    // Idle time may go back a little where it is corrected.
    if (!time || !before || time->total <= before->total || time->softirq < before->softirq) return;
    const double percent =
        100 * static_cast<double>(time->softirq - before->softirq) / static_cast<double>(time->total - before->total);
    const double old = std::exp(-seconds / softirq_memory_seconds);
    guards_.softirq = guards_.softirq ? *guards_.softirq * old + percent * (1 - old) : percent;
}

} // namespace bpftune::signals

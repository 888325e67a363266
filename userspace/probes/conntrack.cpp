// SPDX-License-Identifier: Apache-2.0
#include "probes/conntrack.hpp"

#include <array>
#include <unordered_map>

#include <fcntl.h>
#include <sys/stat.h>

#include "probes/ctnetlink.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"

namespace bpftune::probes {
namespace {

constexpr auto stat_file = "net/stat/nf_conntrack";

bool is_own(const std::filesystem::path& proc, std::uint32_t netns_inode) {
    struct stat info{};
    return ::stat((proc / "thread-self/ns/net").c_str(), &info) == 0 && info.st_ino == netns_inode;
}

Result<sys::ConntrackStat> parsed_file(const std::filesystem::path& path) {
    const auto text = sys::read_file(path);
    if (!text) return std::unexpected(text.error());
    return sys::parse_conntrack_stat(*text);
}

} // namespace

bool ConntrackReader::loaded() const { return std::filesystem::exists(proc_ / "sys/net/netfilter/nf_conntrack_max"); }

Result<> ConntrackReader::try_procfs() const {
    const auto stat = parsed_file(proc_ / "thread-self" / stat_file);
    if (!stat) return std::unexpected(stat.error());
    return {};
}

Result<> ConntrackReader::try_netlink() const {
    const auto socket = sys::open_netlink(sys::Netlink::netfilter);
    if (!socket) return std::unexpected(socket.error());
    const auto stat = ctnetlink_stat(*socket);
    if (!stat) return std::unexpected(stat.error());
    return {};
}

ConntrackReading ConntrackReader::widen(const NetnsId& netns, const sys::ConntrackStat& stat) {
    ConntrackReading reading{.netns = netns,
                             .entries = stat.entries,
                             .drops = stat.drop,
                             .early_drops = stat.early_drop,
                             .insert_failed = stat.insert_failed,
                             .chain_too_long = stat.chain_too_long};
    counters_.update(netns, reading);
    return reading;
}

// What was read when the namespace was looked into.
ConntrackReading ConntrackReader::widen_known(const NetnsReading& netns) {
    ConntrackReading reading = widen(netns.netns, *netns.conntrack);
    reading.read = netns.read;
    return reading;
}

// nullopt: the namespace has no such process any more, or no table.
Result<std::optional<sys::ConntrackStat>> ConntrackReader::in_procfs(const NetnsReading& netns) const {
    // The directory stays that of one process, and shows nothing when that has ended: so where something is read, the
    // number was no other's when it was asked for. Our own takes no right.
    const bool own = is_own(proc_, netns.netns.inode);
    const auto path = proc_ / (own ? "thread-self" : std::to_string(netns.pid));
    const sys::Fd process(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!process) return std::nullopt;
    if (!own) {
        const auto found = looks_.namespaces(std::array{netns.pid});
        if (!found) return std::unexpected(found.error());
        if (found->front().inode != netns.netns.inode) return std::nullopt;
    }
    const auto stat = parsed_file(proc_ / "self/fd" / std::to_string(process.value()) / stat_file);
    return stat ? std::optional(*stat) : std::nullopt;
}

Result<std::vector<ConntrackReading>> ConntrackReader::by_procfs(std::span<const NetnsReading> namespaces) {
    std::vector<ConntrackReading> readings;
    for (const NetnsReading& netns : namespaces) {
        if (netns.conntrack) readings.push_back(widen_known(netns));
        if (!netns.path.empty()) continue;
        const auto stat = in_procfs(netns);
        if (!stat) {
            counters_.end_of_reading_keeping_gone();
            return std::unexpected(stat.error());
        }
        if (*stat) readings.push_back(widen(netns.netns, **stat));
    }
    counters_.end_of_reading();
    return readings;
}

// One that the iterator has not told of began after it, or is a census's alone.
std::vector<ConntrackReading> ConntrackReader::by_iterator(std::span<const NetnsReading> namespaces,
                                                           std::span<const ConntrackTable> tables) {
    std::unordered_map<std::uint32_t, const ConntrackTable*> by_inode; // of one instant: there are no two
    for (const ConntrackTable& table : tables) by_inode.emplace(table.netns.inode, &table);
    std::vector<ConntrackReading> readings;
    for (const NetnsReading& netns : namespaces) {
        if (netns.conntrack) readings.push_back(widen_known(netns));
        if (!netns.path.empty()) continue;
        const auto table = by_inode.find(netns.netns.inode);
        if (table == by_inode.end()) continue;
        const std::uint64_t cookie = table->second->netns.cookie;
        const bool is_it = cookie == netns.netns.cookie || cookie == 0 || netns.netns.cookie == 0;
        if (is_it) readings.push_back(widen(netns.netns, table->second->stat));
    }
    counters_.end_of_reading();
    return readings;
}

std::vector<ConntrackReading> ConntrackReader::by_netlink(std::span<const NetnsReading> namespaces) {
    std::vector<ConntrackReading> readings;
    for (const NetnsReading& netns : namespaces) {
        if (netns.conntrack) readings.push_back(widen_known(netns));
        if (!netns.path.empty()) continue;
        const auto visit = visit_(netns.netns, netns.hint(), {sys::Netlink::netfilter});
        if (!visit) continue;
        if (const auto stat = ctnetlink_stat(visit->socket)) readings.push_back(widen(netns.netns, *stat));
    }
    counters_.end_of_reading();
    return readings;
}

Result<ConntrackSample> ConntrackReader::sample(const NetnsReading& netns, std::size_t enough) const {
    const auto visit =
        visit_(netns.netns, netns.hint(), {.socket = sys::Netlink::netfilter, .counters = false, .timeouts = true});
    if (!visit) return std::unexpected(visit.error());
    auto sample = ctnetlink_sample(visit->socket, enough);
    if (sample) sample->timeouts = visit->timeouts;
    return sample;
}

} // namespace bpftune::probes

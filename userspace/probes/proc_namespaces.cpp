// SPDX-License-Identifier: Apache-2.0
#include "probes/proc_namespaces.hpp"

#include <charconv>
#include <set>
#include <string>

#include <sys/stat.h>

#include "sys/files.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {
namespace {

int pid_of(const std::string& name) {
    int pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    return error == std::errc{} && end == name.data() + name.size() ? pid : 0;
}

// 0: the process has gone.
std::uint32_t netns_inode(const std::filesystem::path& process) {
    struct stat info{};
    return ::stat((process / "ns/net").c_str(), &info) == 0 ? static_cast<std::uint32_t>(info.st_ino) : 0;
}

void fill_sysctls(const std::filesystem::path& proc, NetnsReading& reading) {
    const auto value = [&](const char* name) {
        return static_cast<std::uint32_t>(sys::read_number(proc / "sys/net" / name).value_or(0));
    };
    reading.somaxconn = value("core/somaxconn");
    reading.max_syn_backlog = value("ipv4/tcp_max_syn_backlog");
    reading.syncookies = value("ipv4/tcp_syncookies");
    reading.time_wait_limit = value("ipv4/tcp_max_tw_buckets");
}

Result<NetnsReading> reading_of(const std::filesystem::path& process, int pid, std::uint32_t inode) {
    const auto netstat = sys::read_file(process / "net/netstat");
    if (!netstat) return std::unexpected(netstat.error());
    const auto sockstat = sys::read_file(process / "net/sockstat");
    if (!sockstat) return std::unexpected(sockstat.error());
    const auto mib = [&](const char* name) { return sys::netstat_value(*netstat, "TcpExt", name).value_or(0); };
    return NetnsReading{.netns = {.cookie = 0, .inode = inode},
                        .pid = pid,
                        .listen_overflows = mib("ListenOverflows"),
                        .listen_drops = mib("ListenDrops"),
                        .syn_dropped = mib("TCPReqQFullDrop"),
                        .cookies_sent = mib("SyncookiesSent"),
                        .time_waited = mib("TW"),
                        .time_wait_killed = mib("TWKilled"),
                        .time_wait_overflows = mib("TCPTimeWaitOverflow"),
                        .time_wait_sockets = sys::sockstat_value(*sockstat, "TCP", "tw").value_or(0)};
}

} // namespace

Result<std::vector<NetnsReading>> namespaces_by_procfs(const std::filesystem::path& proc) {
    std::vector<NetnsReading> readings;
    std::set<std::uint32_t> seen;
    const std::uint32_t own = netns_inode(proc / "thread-self");
    std::error_code error;
    for (std::filesystem::directory_iterator at(proc, error), end; !error && at != end; at.increment(error)) {
        const int pid = pid_of(at->path().filename().string());
        const std::uint32_t inode = pid > 0 ? netns_inode(at->path()) : 0;
        if (inode == 0 || seen.contains(inode)) continue;
        auto reading = reading_of(at->path(), pid, inode);
        if (!reading) continue; // it ended meanwhile; another process of that namespace may come
        if (inode == own) fill_sysctls(proc, *reading);
        seen.insert(inode);
        readings.push_back(*reading);
    }
    if (error) return system_failure(error.value(), "list {}", proc.string());
    return readings;
}

} // namespace bpftune::probes

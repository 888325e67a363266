// SPDX-License-Identifier: Apache-2.0
#include "probes/proc_namespaces.hpp"

#include <string>

#include <sys/stat.h>

#include "sys/directory.hpp"
#include "sys/files.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {
namespace {

// Of the calling thread, which takes no right.
std::optional<std::uint32_t> own_inode(const std::filesystem::path& proc) {
    struct stat info{};
    if (::stat((proc / "thread-self/ns/net").c_str(), &info) != 0) return std::nullopt;
    return static_cast<std::uint32_t>(info.st_ino);
}

// `process`: a directory of /proc whose net/ shows the namespace.
Result<NetnsReading> counters_of(const std::filesystem::path& process) {
    const auto netstat = sys::read_file(process / "net/netstat");
    if (!netstat) return std::unexpected(netstat.error());
    const auto sockstat = sys::read_file(process / "net/sockstat");
    if (!sockstat) return std::unexpected(sockstat.error());
    NetnsReading reading = netns_reading(*netstat, *sockstat);
    if (const auto snmp = sys::read_file(process / "net/snmp")) reading.segments = segments_in(*snmp);
    return reading;
}

} // namespace

std::optional<NetnsReading::Segments> segments_in(std::string_view snmp) {
    const auto sent = sys::netstat_value(snmp, "Tcp", "OutSegs");
    const auto retransmitted = sys::netstat_value(snmp, "Tcp", "RetransSegs");
    const auto connects = sys::netstat_value(snmp, "Tcp", "ActiveOpens");
    if (!sent || !retransmitted || !connects) return std::nullopt;
    return NetnsReading::Segments{.sent = *sent, .retransmitted = *retransmitted, .connects = *connects};
}

NetnsReading netns_reading(std::string_view netstat, std::string_view sockstat) {
    const auto mib = [&](const char* name) { return sys::netstat_value(netstat, "TcpExt", name).value_or(0); };
    return NetnsReading{.listen_overflows = mib("ListenOverflows"),
                        .listen_drops = mib("ListenDrops"),
                        .syn_queue_full_drops = mib("TCPReqQFullDrop"),
                        .deferred = mib("TCPDeferAcceptDrop"),
                        .cookies_sent = mib("SyncookiesSent"),
                        .cookies_returned = mib("SyncookiesRecv"),
                        .fastopen_requests = mib("TCPFastOpenCookieReqd"),
                        .fastopen_opened = mib("TCPFastOpenPassive"),
                        .fastopen_failed = mib("TCPFastOpenPassiveFail") + mib("TCPFastOpenListenOverflow"),
                        .time_waited = mib("TW"),
                        .time_wait_killed = mib("TWKilled"),
                        .time_wait_overflows = mib("TCPTimeWaitOverflow"),
                        .time_wait_sockets = sys::sockstat_value(sockstat, "TCP", "tw").value_or(0)};
}

void take_sysctls(NetnsReading& reading, const sys::NetnsSysctls& sysctls) {
    reading.somaxconn = sysctls.somaxconn;
    reading.max_syn_backlog = sysctls.max_syn_backlog;
    reading.syncookies = sysctls.syncookies;
    reading.time_wait_limit = sysctls.max_tw_buckets;
}

// The lowest process of each.
Result<std::map<std::uint32_t, int>> ProcNamespaces::processes_by_netns() {
    const auto pids = sys::numbered_entries(proc_).value_or(std::vector<int>{});
    const auto targets = looks_.namespaces(pids);
    if (!targets) return std::unexpected(targets.error());
    std::map<std::uint32_t, int> processes;
    for (std::size_t i = 0; i < pids.size(); ++i) {
        const sys::LinkTarget& target = (*targets)[i];
        if (target.inode != 0) processes.try_emplace(static_cast<std::uint32_t>(target.inode), pids[i]);
        if (target.is_closed()) ++unseen_.processes;
    }
    if (const auto own = own_inode(proc_)) processes.try_emplace(*own, 0);
    return processes;
}

// False: it has gone.
bool ProcNamespaces::look_into(NetnsReading& reading) {
    NetnsId& known = known_[reading.netns.inode];
    const auto visit = visit_({.cookie = 0, .inode = reading.netns.inode}, reading.hint(), {});
    if (!visit && sys::is_denied(visit.error())) ++unseen_.namespaces;
    if (!visit) {
        reading.netns = known.known() ? known : reading.netns;
        return visit.error().code != ESTALE;
    }
    reading.netns = known = visit->id;
    reading.user_ns_owner = visit->user_ns_owner;
    take_sysctls(reading, visit->sysctls);
    return true;
}

Result<std::vector<NetnsReading>> ProcNamespaces::read() {
    unseen_ = {};
    const auto processes = processes_by_netns();
    if (!processes) return std::unexpected(processes.error());
    if (processes->empty()) return failure("no process shows its network namespace in {}", proc_.string());
    std::vector<NetnsReading> readings;
    for (const auto& [inode, pid] : *processes) {
        auto reading = counters_of(proc_ / (pid == 0 ? "thread-self" : std::to_string(pid)));
        if (!reading) continue; // it ended meanwhile
        reading->netns.inode = inode;
        reading->pid = pid;
        if (look_into(*reading)) readings.push_back(*reading);
    }
    std::erase_if(known_, [&](const auto& known) { return !processes->contains(known.first); });
    return readings;
}

} // namespace bpftune::probes

// SPDX-License-Identifier: Apache-2.0
#include "sys/visit.hpp"

#include <string>

#include <fcntl.h>

#include "sys/files.hpp"
#include "sys/netns.hpp"
#include "sys/sysfs.hpp"

namespace bpftune::sys {
namespace {

// /proc/sys/net follows the thread.
Result<NetnsSysctls> read_sysctls() {
    NetnsSysctls sysctls;
    for (const auto& [name, value] : {std::pair{"core/somaxconn", &sysctls.somaxconn},
                                      std::pair{"ipv4/tcp_max_syn_backlog", &sysctls.max_syn_backlog},
                                      std::pair{"ipv4/tcp_syncookies", &sysctls.syncookies},
                                      std::pair{"ipv4/tcp_max_tw_buckets", &sysctls.max_tw_buckets}}) {
        const auto number = read_number(std::string("/proc/sys/net/") + name);
        const bool not_built = !number && number.error().code == ENOENT && value == &sysctls.syncookies;
        if (!number && !not_built) return std::unexpected(number.error());
        *value = static_cast<std::uint32_t>(number.value_or(0));
    }
    return sysctls;
}

// nullopt: nf_conntrack has none there, or they are closed to us.
std::optional<ConntrackTimeouts> read_timeouts() {
    ConntrackTimeouts timeouts;
    for (const auto& [name, value] :
         {std::pair{"netfilter/nf_conntrack_tcp_timeout_established", &timeouts.established},
          std::pair{"netfilter/nf_conntrack_tcp_timeout_time_wait", &timeouts.time_wait},
          std::pair{"netfilter/nf_conntrack_tcp_timeout_close_wait", &timeouts.close_wait},
          std::pair{"netfilter/nf_conntrack_tcp_timeout_unacknowledged", &timeouts.unacknowledged},
          std::pair{"netfilter/nf_conntrack_tcp_timeout_max_retrans", &timeouts.max_retrans},
          std::pair{"ipv4/tcp_keepalive_time", &timeouts.keepalive_time},
          std::pair{"ipv4/tcp_keepalive_intvl", &timeouts.keepalive_intvl},
          std::pair{"ipv4/tcp_keepalive_probes", &timeouts.keepalive_probes}}) {
        const auto number = read_number(std::string("/proc/sys/net/") + name);
        if (!number) return std::nullopt;
        *value = static_cast<std::uint32_t>(*number);
    }
    return timeouts;
}

} // namespace

Result<Visit> visit_netns(const NetnsId& id, const NetnsHint& hint, const Wanted& wanted) {
    const auto netns = find_netns(id, hint);
    if (!netns) return std::unexpected(netns.error());
    const auto inside = id.cookie == 0 ? NetnsGuard::enter(*netns) : NetnsGuard::enter(*netns, id);
    if (!inside) return std::unexpected(inside.error());
    const auto here = own_netns();
    if (!here) return std::unexpected(here.error());
    const auto sysctls = read_sysctls();
    if (!sysctls) return std::unexpected(sysctls.error());
    Visit visit{.id = *here,
                .user_ns_owner = user_ns_owner(*netns),
                .sysctls = *sysctls,
                .socket = {},
                .netstat = {},
                .sockstat = {},
                .counts = {},
                .sysfs = {},
                .timeouts = {}};
    if (wanted.timeouts) visit.timeouts = read_timeouts();
    // Before the socket, which would be counted. What is opened here goes on showing this namespace.
    if (wanted.counters) {
        visit.netstat = Fd(::open("/proc/thread-self/net/netstat", O_RDONLY | O_CLOEXEC));
        visit.sockstat = Fd(::open("/proc/thread-self/net/sockstat", O_RDONLY | O_CLOEXEC));
        if (!visit.netstat || !visit.sockstat) return system_failure(errno, "open its counters");
    }
    if (wanted.devices) {
        visit.counts = Fd(::open("/proc/thread-self/net/dev", O_RDONLY | O_CLOEXEC));
        if (!visit.counts) return system_failure(errno, "open its devices");
        auto sysfs = mount_sysfs();
        if (!sysfs) return std::unexpected(sysfs.error());
        visit.sysfs = std::move(*sysfs);
    }
    auto socket = open_netlink(wanted.socket);
    if (!socket) return std::unexpected(socket.error());
    visit.socket = std::move(*socket);
    return visit;
}

} // namespace bpftune::sys

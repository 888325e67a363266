// SPDX-License-Identifier: Apache-2.0
// A look into a network namespace: what /proc shows of it to nobody outside.
#pragma once

#include <cstdint>
#include <optional>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "sys/fd.hpp"
#include "sys/netlink.hpp"
#include "sys/netns.hpp"

namespace bpftune::sys {

struct NetnsSysctls {
    std::uint32_t somaxconn = 0;
    std::uint32_t max_syn_backlog = 0;
    std::uint32_t syncookies = 0; // also where the kernel has none
    std::uint32_t max_tw_buckets = 0;
};

// Of connections that are tracked there, in seconds, and how its sockets keep theirs alive.
struct ConntrackTimeouts {
    std::uint32_t established = 0; // net.netfilter.nf_conntrack_tcp_timeout_..., as are the next
    std::uint32_t time_wait = 0;
    std::uint32_t close_wait = 0;
    std::uint32_t unacknowledged = 0;
    std::uint32_t max_retrans = 0;
    std::uint32_t keepalive_time = 0; // net.ipv4.tcp_keepalive_..., as are the next
    std::uint32_t keepalive_intvl = 0;
    std::uint32_t keepalive_probes = 0; // a count
};

// What to bring from there, beside the sysctls.
struct Wanted {
    Netlink socket = Netlink::none;
    bool counters = false;
    bool timeouts = false;
    bool devices = false;
};

// Close what it brings soon: it holds the namespace.
struct Visit {
    NetnsId id;                                 // its cookie as read there; 0: this kernel has none to read
    std::optional<std::uint32_t> user_ns_owner; // as user_ns_owner() tells
    NetnsSysctls sysctls;
    Fd socket;                                 // Netlink::none: none
    Fd netstat;                                // its /proc/net/netstat, as is
    Fd sockstat;                               // its /proc/net/sockstat
    Fd counts;                                 // its /proc/net/dev
    Fd sysfs;                                  // a mount of its /sys, at no place (sys/sysfs.hpp)
    std::optional<ConntrackTimeouts> timeouts; // nullopt: not wanted, or it has none
};

// Finds the namespace as find_netns() does. An `id` without cookie is taken for whatever has its inode number, for
// reading. The calling thread enters it for a moment (CAP_SYS_ADMIN, CAP_SYS_PTRACE), unless it is there anyway.
// Error codes: ESTALE: it is gone, or another one by now; is_denied(): it takes more rights.
Result<Visit> visit_netns(const NetnsId& id, const NetnsHint& hint, const Wanted& wanted);

inline bool is_denied(const Error& error) { return error.code == EPERM || error.code == EACCES; }

} // namespace bpftune::sys

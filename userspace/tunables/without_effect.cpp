// SPDX-License-Identifier: Apache-2.0
#include "tunables/without_effect.hpp"

#include <algorithm>
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {

std::span<const WithoutEffect> without_effect() {
    // net/ipv4/route.c since 89aef8921bfb (3.6): ipv4_dst_ops has no gc, and nothing reads ip_rt_max_size.
    constexpr std::string_view no_cache = "IPv4 has no routing cache since 3.6";
    // net/ipv6/route.c, ip6_dst_gc() since af6d10345ca7 (6.3; 6.1.73, 5.10.208): the limit is compared with nothing,
    // and begins at the largest value. Measured on Debian's 5.10.0-46 and 6.1.0-57, and on 6.12, 6.18 and 7.2: at a
    // max_size of 4, none of 60 routes that are counted was refused, all in use at once.
    constexpr std::string_view no_check =
        "this kernel limits the routes of IPv6 no more (since 6.3, or a stable release that took it over)";
    static constexpr std::array rows{
        WithoutEffect{"net.ipv4.route.max_size", "net/ipv4/route/max_size", no_cache, {}},
        WithoutEffect{"net.ipv4.route.gc_thresh", "net/ipv4/route/gc_thresh", no_cache, {}},
        WithoutEffect{"net.ipv6.route.max_size", "net/ipv6/route/max_size", no_check, int_max},
        // Documentation/networking/ip-sysctl.rst, c6b10de537b9
        WithoutEffect{
            "net.ipv4.udp_wmem_min", "net/ipv4/udp_wmem_min", "UDP does not account the memory of what it sends", {}},
        // 4396e46187ca
        WithoutEffect{"net.ipv4.tcp_tw_recycle",
                      "net/ipv4/tcp_tw_recycle",
                      "Linux has it no more since 4.12: it refused connections of clients that share an address",
                      {},
                      "for clients that find no port there is net.ipv4.tcp_tw_reuse"},
        // e7942d0633c4, which took the prequeue out
        WithoutEffect{"net.ipv4.tcp_low_latency",
                      "net/ipv4/tcp_low_latency",
                      "nothing reads it since 4.14, which has no queue before the receive queue any more",
                      {}},
        // 713bafea9292
        WithoutEffect{"net.ipv4.tcp_fack",
                      "net/ipv4/tcp_fack",
                      "nothing reads it since 4.15, which finds losses by time instead (RACK)",
                      {}},
        // adf0516845bc
        WithoutEffect{"net.ipv4.netfilter.ip_conntrack_max",
                      "net/ipv4/netfilter/ip_conntrack_max",
                      "Linux has it no more since 4.9: it was the old name of net.netfilter.nf_conntrack_max",
                      {},
                      "write net.netfilter.nf_conntrack_max"},
        WithoutEffect{"net.ipv4.ip_conntrack_max",
                      "net/ipv4/ip_conntrack_max",
                      "Linux has it no more since 2.6.22: it was of the module before nf_conntrack",
                      {},
                      "write net.netfilter.nf_conntrack_max"},
    };
    return rows;
}

const WithoutEffect* find_without_effect(std::string_view name) {
    const auto rows = without_effect();
    const auto found = std::ranges::find(rows, name, &WithoutEffect::name);
    return found == rows.end() ? nullptr : &*found;
}

} // namespace bpftune::tunables

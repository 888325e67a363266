// SPDX-License-Identifier: Apache-2.0
#include "tunables/without_effect.hpp"

#include <algorithm>
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {

std::span<const WithoutEffect> without_effect() {
    // net/ipv4/route.c since 89aef8921bfb (3.6): ipv4_dst_ops has no gc, and nothing reads ip_rt_max_size.
    constexpr std::string_view no_cache = "IPv4 has no routing cache since 3.6";
    // net/ipv6/route.c, ip6_dst_gc() since af6d10345ca7 (6.3): the limit is compared with nothing, and begins at the
    // largest value. Measured on Debian's 5.10.0-46 and 6.1.0-57, which have it, and on 6.12, 6.18 and 7.2: with a
    // max_size of 4, 59 routes of 59 were made, and 119 were there at once.
    constexpr std::string_view no_check =
        "this kernel limits the routes of IPv6 no more (since 6.3, or a stable release that took it over)";
    static constexpr std::array rows{
        WithoutEffect{"net.ipv4.route.max_size", "net/ipv4/route/max_size", no_cache, {}},
        WithoutEffect{"net.ipv4.route.gc_thresh", "net/ipv4/route/gc_thresh", no_cache, {}},
        WithoutEffect{"net.ipv6.route.max_size", "net/ipv6/route/max_size", no_check, int_max},
    };
    return rows;
}

const WithoutEffect* find_without_effect(std::string_view name) {
    const auto rows = without_effect();
    const auto found = std::ranges::find(rows, name, &WithoutEffect::name);
    return found == rows.end() ? nullptr : &*found;
}

} // namespace bpftune::tunables

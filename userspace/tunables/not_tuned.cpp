// SPDX-License-Identifier: Apache-2.0
#include "tunables/not_tuned.hpp"

#include <algorithm>
#include <array>

namespace bpftune::tunables {

std::span<const NotTuned> not_tuned() {
    static constexpr std::array rows{
        // net/ipv4/tcp_minisocks.c, tcp_time_wait(): TIME_WAIT lasts TCP_TIMEWAIT_LEN (include/net/tcp.h), FIN_WAIT_2
        // without an owner tcp_fin_time().
        NotTuned{.name = "net.ipv4.tcp_fin_timeout",
                 .example = "60",
                 .why_not = "it cures no want of ports, since TIME_WAIT lasts 60 s whatever it says; it is how long a "
                            "connection stays that its process has closed and the other end has not (FIN_WAIT_2)"},
        // net/ipv4/inet_timewait_sock.c, inet_twsk_alloc(): past it there is none, and the port is free at once.
        NotTuned{.name = "net.ipv4.tcp_max_tw_buckets",
                 .example = "262144",
                 .why_not = "it cures no want of ports: past it a connection skips TIME_WAIT and its port is free at "
                            "once, so a larger one keeps more of them"},
        // net/core/dev.c, get_rps_cpu(): asked only where the receive queue has a table of flows of its own.
        NotTuned{.name = "net.core.rps_sock_flow_entries",
                 .example = "32768",
                 .why_not = "it does nothing without rps_flow_cnt of the receive queues, which is not tuned: nothing "
                            "here sees which CPU a flow is read by, or what the way to it costs"},
    };
    return rows;
}

const NotTuned* find_not_tuned(std::string_view name) {
    const auto rows = not_tuned();
    const auto found = std::ranges::find(rows, name, &NotTuned::name);
    return found == rows.end() ? nullptr : &*found;
}

} // namespace bpftune::tunables

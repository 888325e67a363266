// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

// Those of the kernel (net/ipv4/Kconfig). Whoever has another one made it, and is left alone.
constexpr std::array<std::string_view, 17> names{"reno",  "bic",   "cdg",  "cubic",    "dctcp",    "highspeed",
                                                 "htcp",  "hybla", "lp",   "nv",       "illinois", "scalable",
                                                 "vegas", "veno",  "yeah", "westwood", "bbr"};

constexpr std::array rows{
    Tunable{
        .id = TunableId::tcp_congestion_control,
        .key = "tcp_congestion_control",
        .name = "net.ipv4.tcp_congestion_control",
        .kind = Kind::netns_sysctl,
        .path = "net/ipv4/tcp_congestion_control",
        .words = names,
        .kernel_min = 0,
        .kernel_max = names.size() - 1,
        .judged_by = JudgedBy::rate,
        .nudge = Nudge::congestion_control,
        .default_max = names.size() - 1,
        .default_shrink_after = std::nullopt,
        .use_is_seen = false,
        .opt_in = true,
        .unit_bytes = 0,
        .worst_unit_bytes = 0,
        .sharers = "connections",
        .memory = "nothing",
        .serves = "buffers.losing_held_back",
        .help =
            "Congestion control that connections begin with, and that those which losses hold back are switched "
            "to: from cubic or reno to bbr, never another way. An application's own choice (TCP_CONGESTION) is left "
            "alone.",
        .risk =
            "BBR takes no loss for a sign of a full queue: where the bottleneck's queue is short it sends more that "
            "is lost again, and others' cubic gets less. A connection that was switched keeps it when `restore` "
            "puts the value back. In the host's own namespace a policy's min sets it whatever "
            "tcp_allowed_congestion_control lists: the kernel lists it from then on, so that all pods may choose it, "
            "which `restore` does not take back.",
        .source = "net/ipv4/tcp_cong.c (tcp_set_default_congestion_control, tcp_set_congestion_control), "
                  "net/ipv4/tcp_bbr.c",
        .formula = "bbr, where the namespace has cubic or reno and a connection lost packets for a second that had "
                   "not waited, and the host's tcp_allowed_congestion_control lists both; not while a size of "
                   "tcp_rmem or tcp_wmem is on trial anywhere on the node, nor in the 10 s after one was changed. Kept "
                   "where these connections get faster by a twentieth",
        .derived =
            "A queue that is full shows in the time of a round trip before it loses. A loss without it is the "
            "line's, or a policer's: cubic's rate is then bound by 1 / sqrt(loss), BBR's by what arrives. What a "
            "larger buffer of ours lost in a short queue is sent again for seconds after it was taken back.",
        .assumes = "The connection has more to send for some seconds. A round trip below 2 ms is not looked at.",
    },
};

} // namespace

std::span<const Tunable> congestion_rows() { return rows; }

} // namespace bpftune::tunables

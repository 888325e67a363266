// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "tunables/rows.hpp"

namespace bpftune::tunables {
namespace {

constexpr std::uint64_t page = 4096;
constexpr unsigned last_of_three = 2; // min, default, max

// Twice what 5 Gbit/s have on their way in 50 ms.
constexpr std::uint64_t largest_buffer = 64ULL << 20;

// One rule sizes both (controller/tcp_buffers.cpp).
constexpr std::string_view formula =
    "2 x what it is, at least 256 KiB, for as long as connections are held back and each step makes them faster";
constexpr std::string_view derived =
    "What is on its way in a round trip has to fit: bandwidth x round trip, and as much again for what the kernel "
    "counts beside the bytes themselves. While the buffer holds a connection back its rate says nothing of the "
    "bandwidth that there is, so it is found by steps, each a trial.";
constexpr std::string_view assumes =
    "The connection goes on for some seconds, and its application would move more. Not seen: connections that are "
    "shorter than the 0.25 to 0.5 s between two looks, or that come in bursts.";
constexpr std::string_view memory =
    "each byte of it, for each connection that is held back: so much waits in the kernel where the other side, or the "
    "application, stalls. Charged for as long as the namespace has any connection, since those that are not held back "
    "may come to hold as much, and that is not looked at. At worst: in every connection that is looked at";

// What is the same of both.
constexpr Tunable largest_of(Tunable buffer) {
    buffer.kind = Kind::netns_sysctl;
    buffer.field = last_of_three;
    buffer.kernel_min = page;
    buffer.kernel_max = int_max;
    buffer.unit = Unit::bytes;
    buffer.judged_by = JudgedBy::rate;
    buffer.default_max = largest_buffer;
    buffer.unit_bytes = buffer.worst_unit_bytes = 1;
    buffer.sharers = "connections";
    buffer.memory = memory;
    buffer.formula = formula;
    buffer.derived = derived;
    buffer.assumes = assumes;
    return buffer;
}

constexpr std::array rows{
    largest_of({
        .id = TunableId::tcp_rmem,
        .key = "tcp_rmem",
        .name = "net.ipv4.tcp_rmem",
        .path = "net/ipv4/tcp_rmem",
        .nudge = Nudge::buffers,
        .serves = "buffers.receiving_held_back",
        .help = "The last of its three values: how far the kernel grows a connection's receive buffer by itself, and "
                "with it the window that it announces. The middle one, with which a connection begins, is left as it "
                "is, and so is every buffer of which the application has set the size (SO_RCVBUF).",
        .risk =
            "A reader that stops after running fast holds so many bytes of kernel memory. A connection that has "
            "grown keeps its buffer when the value goes back; where it was slower with it, it announces what it did "
            "before.",
        .source = "net/ipv4/tcp_input.c (tcp_rcv_space_adjust), net/ipv4/tcp.c (tcp_set_rcvlowat)",
    }),
    largest_of({
        .id = TunableId::tcp_wmem,
        .key = "tcp_wmem",
        .name = "net.ipv4.tcp_wmem",
        .path = "net/ipv4/tcp_wmem",
        .serves = "buffers.sending_held_back",
        .help = "The last of its three values: how far the kernel grows a connection's send buffer by itself: what was "
                "sent and is not acknowledged has to fit. The middle one, with which a connection begins, is left as "
                "it is, and so is every buffer of which the application has set the size (SO_SNDBUF).",
        .risk = "Where the other side stops reading, so many bytes of kernel memory wait for it. A longer queue at a "
                "bottleneck with little room loses more: then it is taken back.",
        .source = "net/ipv4/tcp_input.c (tcp_sndbuf_expand)",
    }),
};

} // namespace

std::span<const Tunable> tcp_buffer_rows() { return rows; }

} // namespace bpftune::tunables

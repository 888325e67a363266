// SPDX-License-Identifier: Apache-2.0
// UDP sockets that drop, and how much of that is for a full buffer. Pure.
//
// The kernel counts for each socket whatever it discards, broken checksums among it, and for each namespace what met a
// full buffer (net/ipv4/udp.c, __udp_queue_rcv_skb). So of what the sockets of a namespace dropped in a window no more
// is taken for overflows than the namespace counted.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

class UdpTable {
public:
    // One tick. What is seen for the first time, or after so long that it was forgotten, counts from where its looks
    // began: BPF knows that.
    std::vector<UdpSocket> update(std::span<const probes::NetnsReading> namespaces,
                                  std::span<const probes::UdpReading> sockets, MonoTime now);

private:
    struct OfNetns {
        probes::NetnsReading::Udp first; // when it was first seen
        probes::NetnsReading::Udp last;
        std::uint64_t received = 0; // in the window
        std::uint64_t errors = 0;
        std::uint64_t unassigned = 0; // of the window before: its drops may be seen a tick later
    };
    struct Counted {
        std::uint64_t drops = 0;
        std::uint64_t overflows = 0;
        std::uint64_t recent = 0;         // overflows, of a buffer of this size
        std::uint64_t most_in_tick = 0;   // of these
        std::uint64_t last_overflows = 0; // as in UdpSocket
        std::uint64_t last_received = 0;
        std::optional<std::uint64_t> buffer_bytes; // nullopt: not seen before
        MonoTime seen;
    };

    void count_namespaces(std::span<const probes::NetnsReading> namespaces);
    void assign(std::span<UdpSocket> of_netns, std::span<const std::uint64_t> dropped);

    std::map<NetnsId, OfNetns> namespaces_;
    std::map<std::uint64_t, Counted> counted_; // by cookie
};

// Whether more is to be known of these soon: one dropped something a moment ago.
bool is_worth_a_look(std::span<const probes::UdpReading> sockets, MonoTime now);

} // namespace bpftune::signals

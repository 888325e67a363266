// SPDX-License-Identifier: Apache-2.0
#include "signals/udp.hpp"

#include <algorithm>
#include <numeric>
#include <set>
#include <tuple>

#include "core/text.hpp"
#include "signals/gain.hpp"

namespace bpftune::signals {
namespace {

using probes::NetnsReading;
using probes::UdpReading;

// After the last drop: a burst is told from a queue that stands by how soon it is empty again.
constexpr Nanoseconds looked_at_after_drops = std::chrono::seconds(3);

UdpSocket row_of(const UdpReading& reading, MonoTime now) {
    return {.netns = reading.netns,
            .cookie = reading.cookie,
            .inode = reading.inode,
            .local = reading.local,
            .pid = reading.pid,
            .fd = reading.fd,
            .command = printable(reading.command),
            .is_held_by_init = reading.is_held_by_init,
            .pod = std::nullopt,
            .queue_bytes = reading.queue,
            .buffer_bytes = reading.buffer,
            .set_by_application = reading.set_by_application,
            .read = now,
            .drops = reading.drops,
            .most_dropped = reading.most_dropped,
            .looks = reading.looks,
            .looks_past_half = reading.looks_past_half,
            .left_out = reading.left_out};
}

bool dropped_recently(const UdpReading& socket, MonoTime now) { return now - socket.lost_at < looked_at_after_drops; }

} // namespace

void UdpTable::count_namespaces(std::span<const NetnsReading> namespaces) {
    std::map<NetnsId, OfNetns> now;
    for (const NetnsReading& reading : namespaces) {
        if (!reading.udp) continue;
        const auto known = namespaces_.find(reading.netns);
        OfNetns counts =
            known != namespaces_.end() ? known->second : OfNetns{.first = *reading.udp, .last = *reading.udp};
        counts.unassigned = counts.errors;
        counts.received = gain(counts.last.received, reading.udp->received);
        counts.errors = gain(counts.last.buffer_errors, reading.udp->buffer_errors);
        counts.last = *reading.udp;
        now.insert_or_assign(reading.netns, counts);
    }
    namespaces_ = std::move(now);
}

// A socket drops what its filter refuses as well. Where they dropped more than was for a full buffer, each has that
// part of it which the others, had theirs all been, would leave to it: what may be another's is nobody's.
void UdpTable::assign(std::span<UdpSocket> of_netns, std::span<const std::uint64_t> dropped) {
    const auto found = namespaces_.find(of_netns.front().netns);
    if (found == namespaces_.end()) return;
    OfNetns& counts = found->second;
    const std::uint64_t there = counts.errors + counts.unassigned;
    const std::uint64_t all = std::accumulate(dropped.begin(), dropped.end(), std::uint64_t{0});
    for (std::size_t i = 0; i < of_netns.size(); ++i) {
        const std::uint64_t of_others = all - dropped[i];
        of_netns[i].window_overflows = std::min(dropped[i], there - std::min(there, of_others));
        of_netns[i].window_received = counts.received;
        of_netns[i].netns_overflows = gain(counts.first.buffer_errors, counts.last.buffer_errors);
    }
    counts.errors -= std::min(counts.errors, gain(counts.unassigned, std::min(all, there)));
}

std::vector<UdpSocket> UdpTable::update(std::span<const NetnsReading> namespaces, std::span<const UdpReading> sockets,
                                        MonoTime now) {
    count_namespaces(namespaces);
    std::vector<UdpSocket> rows;
    std::set<std::uint64_t> recent;               // by cookie
    std::map<std::uint64_t, std::uint64_t> begun; // the same: drops that are no news
    for (const UdpReading& reading : sockets) {
        rows.push_back(row_of(reading, now));
        if (dropped_recently(reading, now)) recent.insert(reading.cookie);
        const auto before = counted_.find(reading.cookie);
        begun.emplace(reading.cookie, before != counted_.end() ? before->second.drops : reading.drops_before);
    }
    std::ranges::sort(rows, {}, [](const UdpSocket& row) { return std::tuple(row.netns, row.cookie); });
    std::vector<std::uint64_t> dropped;
    dropped.reserve(rows.size());
    for (const UdpSocket& row : rows) dropped.push_back(row.drops - begun.at(row.cookie));
    for (std::size_t first = 0; first < rows.size();) {
        std::size_t end = first;
        while (end < rows.size() && rows[end].netns == rows[first].netns) ++end;
        assign(std::span(rows).subspan(first, end - first), std::span(dropped).subspan(first, end - first));
        first = end;
    }
    for (UdpSocket& row : rows) {
        Counted& counted = counted_[row.cookie];
        const bool is_resized = counted.buffer_bytes && *counted.buffer_bytes != row.buffer_bytes;
        const bool goes_on = recent.contains(row.cookie) && !is_resized;
        const std::uint64_t of_this_size = is_resized ? 0 : row.window_overflows;
        counted = {.drops = row.drops,
                   .overflows = counted.overflows + row.window_overflows,
                   .recent = (goes_on ? counted.recent : 0) + of_this_size,
                   .most_in_tick = std::max(goes_on ? counted.most_in_tick : 0, of_this_size),
                   .last_overflows = row.window_overflows > 0 ? row.window_overflows : counted.last_overflows,
                   .last_received = row.window_overflows > 0 ? row.window_received : counted.last_received,
                   .buffer_bytes = row.buffer_bytes,
                   .seen = now};
        row.most_dropped = std::min(row.most_dropped, counted.most_in_tick);
        row.overflows = counted.overflows;
        row.recent_overflows = counted.recent;
        row.last_overflows = counted.last_overflows;
        row.last_received = counted.last_received;
    }
    std::erase_if(counted_, [&](const auto& entry) { return now - entry.second.seen > gone_remembered; });
    return rows;
}

bool is_worth_a_look(std::span<const UdpReading> sockets, MonoTime now) {
    return std::ranges::any_of(sockets, [&](const UdpReading& socket) { return dropped_recently(socket, now); });
}

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
#include "signals/buffers.hpp"

#include <algorithm>
#include <set>
#include <utility>

#include "core/text.hpp"

namespace bpftune::signals {
namespace {

using probes::FlowReading;
using probes::HeldBy;
using probes::NetnsReading;

HeldFlow held_flow(const FlowReading& flow) {
    return {.pid = flow.pid,
            .command = printable(flow.command),
            .local = flow.local,
            .remote = flow.remote,
            .limit_bytes = 0,
            .bytes_per_second = 0,
            .round_trip_us = flow.round_trip_us,
            .widest_window_bytes = flow.widest_window};
}

void add(HeldBack& held, const FlowReading& flow, std::uint64_t rate, std::uint64_t in_round_trip,
         std::uint64_t limit) {
    ++held.flows;
    held.bytes_per_second += rate;
    if (held.largest && in_round_trip <= held.most_in_round_trip) return;
    held.most_in_round_trip = in_round_trip;
    held.largest = held_flow(flow);
    held.largest->limit_bytes = limit;
    held.largest->bytes_per_second = rate;
}

// net/core/sock.c: what SO_RCVBUF and SO_SNDBUF get is doubled, for what is counted beside the data.
constexpr std::uint64_t doubled = 2;

// One whose application has set `size`. What it would move with more is not known: the largest is the fastest.
void add_own(HeldBack& held, const FlowReading& flow, std::uint64_t size, std::uint64_t rate,
             const std::optional<std::uint64_t>& most) {
    ++held.set_by_application;
    if (!most || size != doubled * *most) return;
    held.at_ceiling = held.at_ceiling.value_or(0) + 1;
    if (held.largest_at_ceiling && rate <= held.largest_at_ceiling->bytes_per_second) return;
    held.largest_at_ceiling = held_flow(flow);
    held.largest_at_ceiling->limit_bytes = size;
    held.largest_at_ceiling->bytes_per_second = rate;
}

// Connections by their ends, as each sees them.
class Ends {
public:
    Ends(std::span<const FlowReading> flows, bool HeldBy::* by) {
        for (const FlowReading& flow : flows)
            if (flow.held_by.*by) ends_.emplace(flow.local, flow.remote);
    }
    [[nodiscard]] bool has_other_end_of(const FlowReading& flow) const {
        return ends_.contains({flow.remote, flow.local});
    }

private:
    std::set<std::pair<Endpoint, Endpoint>> ends_;
};

struct Rates {
    std::optional<std::uint64_t> before;
    std::uint64_t since;
};

void add_raised(HeldBack& held, const Rates& rates, bool again, bool at_other_end) {
    if (!rates.before) return;
    RaisedFlows& raised = held.raised ? *held.raised : held.raised.emplace();
    ++raised.flows;
    raised.before += *rates.before;
    raised.since += rates.since;
    raised.held_again += again ? 1 : 0;
    raised.held_at_other_end += at_other_end ? 1 : 0;
}

void add(TcpBuffers& row, const FlowReading& flow, const SocketSizes& sizes) {
    row.rmem_max = flow.rmem_max; // as it is now
    row.wmem_max = flow.wmem_max;
    row.left_out = std::max<std::uint64_t>(*row.left_out, flow.left_out);
    if (!flow.decided) return;
    ++*row.looked_at;
    if (flow.held_by.rmem)
        add(*row.receiving, flow, flow.received_per_second, flow.received_in_round_trip, flow.window);
    if (flow.held_by.wmem) add(*row.sending, flow, flow.acked_per_second, flow.acked_in_round_trip, flow.sndbuf);
    if (flow.held_by.loss && flow.congestion_control == row.congestion_control)
        add(*row.losing, flow, flow.lossy_per_second, flow.acked_in_round_trip, flow.sndbuf);
    if (flow.held_by.loss_of_own) ++row.losing->set_by_application;
    if (flow.held_by.own_rcvbuf) add_own(*row.receiving, flow, flow.rcvbuf, flow.received_per_second, sizes.rmem_max);
    if (flow.held_by.own_sndbuf) add_own(*row.sending, flow, flow.sndbuf, flow.acked_per_second, sizes.wmem_max);
    if (flow.held_by.window_scale) ++*row.window_scale;
}

bool was_raised(const FlowReading& flow) { return flow.received_before || flow.acked_before || flow.lossy_before; }

TcpBuffers blank(const NetnsId& netns, bool looked, const SocketSizes& sizes) {
    TcpBuffers row{.netns = netns};
    if (!looked) return row;
    row.looked_at = row.left_out = row.window_scale = 0;
    row.receiving.emplace();
    row.sending.emplace();
    row.losing.emplace();
    if (sizes.rmem_max) row.receiving->at_ceiling = 0;
    if (sizes.wmem_max) row.sending->at_ceiling = 0;
    return row;
}

// That of a flow: one whose namespace was not read has a row of its own. They are sorted.
TcpBuffers& row_of(const NetnsId& netns, std::vector<TcpBuffers>& rows, const SocketSizes& sizes) {
    const auto at = std::ranges::lower_bound(rows, netns, {}, &TcpBuffers::netns);
    if (at != rows.end() && at->netns == netns) return *at;
    return *rows.insert(at, blank(netns, true, sizes));
}

void add_raised(std::vector<TcpBuffers>& rows, std::span<const FlowReading> flows, const SocketSizes& sizes) {
    const Ends receive(flows, &HeldBy::rmem);
    const Ends send(flows, &HeldBy::wmem);
    for (const FlowReading& flow : flows) {
        TcpBuffers& row = row_of(flow.netns, rows, sizes);
        add_raised(*row.receiving, {flow.received_before, flow.received_since}, flow.held_by.rmem,
                   send.has_other_end_of(flow));
        add_raised(*row.sending, {flow.acked_before, flow.acked_since}, flow.held_by.wmem,
                   receive.has_other_end_of(flow));
        add_raised(*row.losing, {flow.lossy_before, flow.acked_since}, false, false); // losses go on
    }
}

void take_limits(TcpBuffers& row, const NetnsReading& netns) {
    row.pid = netns.pid;
    if (!netns.congestion_control.empty()) row.congestion_control = printable(netns.congestion_control);
    if (netns.rmem) {
        row.rmem_default = netns.rmem->middle;
        row.rmem_max = netns.rmem->max;
    }
    if (netns.wmem) {
        row.wmem_default = netns.wmem->middle;
        row.wmem_max = netns.wmem->max;
    }
}

} // namespace

std::vector<TcpBuffers> buffers(std::span<const NetnsReading> namespaces,
                                const std::optional<std::vector<FlowReading>>& flows, const SocketSizes& sizes,
                                std::vector<TcpBuffers> room) {
    std::vector<const NetnsReading*> sorted;
    sorted.reserve(namespaces.size());
    for (const NetnsReading& netns : namespaces) sorted.push_back(&netns);
    std::ranges::sort(sorted, {}, &NetnsReading::netns);
    std::vector<TcpBuffers> rows = std::move(room);
    rows.clear();
    rows.reserve(sorted.size());
    for (const NetnsReading* netns : sorted) {
        if (rows.empty() || rows.back().netns != netns->netns)
            rows.push_back(blank(netns->netns, flows.has_value(), sizes));
        take_limits(rows.back(), *netns);
    }
    if (flows)
        for (const FlowReading& flow : *flows) add(row_of(flow.netns, rows, sizes), flow, sizes);
    if (flows && std::ranges::any_of(*flows, was_raised)) add_raised(rows, *flows, sizes);
    return rows;
}

bool is_worth_a_look(std::span<const FlowReading> flows) {
    return std::ranges::any_of(flows, [](const FlowReading& flow) {
        return !flow.decided || flow.held_by.rmem || flow.held_by.wmem || flow.held_by.loss || flow.limit_changed ||
               was_raised(flow);
    });
}

} // namespace bpftune::signals

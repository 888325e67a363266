// SPDX-License-Identifier: Apache-2.0
#include "signals/buffers.hpp"

#include <algorithm>
#include <map>

#include "core/text.hpp"

namespace bpftune::signals {
namespace {

using probes::FlowReading;
using probes::NetnsReading;

HeldFlow held_flow(const FlowReading& flow) {
    return {.pid = flow.pid,
            .command = printable(flow.command),
            .local = flow.local,
            .remote = flow.remote,
            .limit_bytes = 0,
            .bytes_per_second = 0,
            .round_trip_us = flow.round_trip_us};
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

void add(TcpBuffers& row, const FlowReading& flow) {
    if (!row.rmem_max) row.rmem_max = flow.rmem_max; // no process is in its namespace
    if (!row.wmem_max) row.wmem_max = flow.wmem_max;
    row.left_out = std::max<std::uint64_t>(*row.left_out, flow.left_out);
    if (!flow.decided) return;
    ++*row.looked_at;
    if (flow.held_by.rmem)
        add(*row.receiving, flow, flow.received_per_second, flow.received_in_round_trip, flow.window);
    if (flow.held_by.wmem) add(*row.sending, flow, flow.acked_per_second, flow.acked_in_round_trip, flow.sndbuf);
    if (flow.held_by.own_rcvbuf) ++row.receiving->set_by_application;
    if (flow.held_by.own_sndbuf) ++row.sending->set_by_application;
    if (flow.held_by.window_scale) ++*row.window_scale;
}

TcpBuffers blank(const NetnsId& netns, bool looked) {
    TcpBuffers row{.netns = netns};
    if (!looked) return row;
    row.looked_at = row.left_out = row.window_scale = 0;
    row.receiving.emplace();
    row.sending.emplace();
    return row;
}

} // namespace

std::vector<TcpBuffers> buffers(std::span<const NetnsReading> namespaces,
                                const std::optional<std::vector<FlowReading>>& flows) {
    std::map<NetnsId, TcpBuffers> rows;
    for (const NetnsReading& netns : namespaces) {
        TcpBuffers& row = rows.try_emplace(netns.netns, blank(netns.netns, flows.has_value())).first->second;
        if (netns.rmem) {
            row.rmem_default = netns.rmem->middle;
            row.rmem_max = netns.rmem->max;
        }
        if (netns.wmem) {
            row.wmem_default = netns.wmem->middle;
            row.wmem_max = netns.wmem->max;
        }
    }
    if (flows)
        for (const FlowReading& flow : *flows)
            add(rows.try_emplace(flow.netns, blank(flow.netns, true)).first->second, flow);
    std::vector<TcpBuffers> sorted;
    sorted.reserve(rows.size());
    for (auto& [netns, row] : rows) sorted.push_back(std::move(row));
    return sorted;
}

bool is_worth_a_look(std::span<const FlowReading> flows) {
    return std::ranges::any_of(
        flows, [](const FlowReading& flow) { return !flow.decided || flow.held_by.rmem || flow.held_by.wmem; });
}

} // namespace bpftune::signals

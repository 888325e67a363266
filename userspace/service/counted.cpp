// SPDX-License-Identifier: Apache-2.0
#include "service/counted.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/text.hpp"
#include "signals/conntrack_states.hpp"
#include "signals/sockets.hpp"
#include "signals/tcp_table.hpp"
#include "views/text.hpp"

namespace bpftune::service {
namespace {

using probes::NetnsReading;
using Readings = std::vector<NetnsReading>;

// Enough to know a half from a quarter; each takes a visit and some milliseconds.
constexpr std::size_t sample_entries = 1000;
constexpr std::size_t most_samples = 10;

// In the order in which a connection goes through them, those first that there are many of.
constexpr std::array states{
    std::pair{"established", &TcpStates::established}, std::pair{"close_wait", &TcpStates::close_wait},
    std::pair{"time_wait", &TcpStates::time_wait},     std::pair{"syn_sent", &TcpStates::syn_sent},
    std::pair{"syn_recv", &TcpStates::syn_recv},       std::pair{"fin_wait1", &TcpStates::fin_wait1},
    std::pair{"fin_wait2", &TcpStates::fin_wait2},     std::pair{"last_ack", &TcpStates::last_ack},
    std::pair{"closing", &TcpStates::closing},
};

std::uint64_t sockets_of(const Counted::Netns& netns) {
    std::uint64_t sum = 0;
    for (const auto& [name, member] : states) sum += netns.states ? (*netns.states).*member : 0;
    return sum;
}

std::optional<probes::SoftirqReading> sum_of(const Result<std::vector<probes::SoftirqReading>>& cpus) {
    if (!cpus) return std::nullopt;
    probes::SoftirqReading sum;
    for (const probes::SoftirqReading& cpu : *cpus) {
        sum.processed += cpu.processed;
        sum.dropped += cpu.dropped;
        sum.flow_limited += cpu.flow_limited;
        sum.time_squeeze += cpu.time_squeeze;
    }
    return sum;
}

std::string name_of(const probes::Probes& probes, const NetnsId& netns) {
    const auto bound = probes.bound();
    if (!bound) return {};
    const auto found = std::ranges::find(*bound, netns.inode, &sys::BoundNetns::inode);
    return found == bound->end() ? std::string() : printable(found->name());
}

void add_conntrack(Counted& counted, probes::Probes& probes, std::span<const NetnsReading> namespaces) {
    std::map<NetnsId, std::uint64_t> entries;
    const auto tables = probes.conntrack(namespaces);
    if (!tables) return;
    for (const auto& each : *tables) entries[each.netns] = each.entries;
    std::vector<Counted::Netns*> fullest;
    for (Counted::Netns& row : counted.namespaces) {
        const auto found = entries.find(row.netns);
        if (found == entries.end()) continue;
        row.conntrack_entries = found->second;
        if (found->second > 0) fullest.push_back(&row);
    }
    std::ranges::sort(fullest, std::greater{}, [](const Counted::Netns* row) { return *row->conntrack_entries; });
    if (fullest.size() > most_samples) fullest.resize(most_samples);
    for (Counted::Netns* row : fullest) {
        const auto netns = std::ranges::find(namespaces, row->netns, &NetnsReading::netns);
        const auto sample = probes.sample_conntrack(*netns, sample_entries);
        if (sample) row->conntrack = signals::states_of(*sample, *row->conntrack_entries);
    }
}

std::string segments_text(const probes::NetnsReading::Segments& segments) {
    return fmt::format("{} segments sent, {} again ({:.2f} %)", segments.sent, segments.retransmitted,
                       signals::retransmitted_percent(segments).value_or(0));
}

std::string states_text(const TcpStates& of_netns) {
    std::string text;
    for (const auto& [name, member] : states)
        if (of_netns.*member > 0) text += fmt::format("{}{} {}", text.empty() ? "" : ", ", of_netns.*member, name);
    return text.empty() ? "no TCP sockets" : text;
}

std::string conntrack_text(const Counted::Netns& row) {
    std::string text = fmt::format("conntrack {}", *row.conntrack_entries);
    if (!row.conntrack) return text;
    const ConntrackStates& all = *row.conntrack;
    return text + fmt::format(": {} tcp ({} established, {} close_wait, {} time_wait), {} udp, {} other", all.tcp,
                              all.established.entries, all.close_wait.entries, all.time_wait.entries, all.udp,
                              all.other);
}

std::string line_of(const Counted::Netns& row) {
    std::string text = std::to_string(row.netns.inode);
    if (!row.name.empty()) text += fmt::format(" ({})", row.name);
    auto add = [&, first = true](const std::string& part) mutable {
        text += (std::exchange(first, false) ? ": " : "; ") + part;
    };
    if (row.states) add(states_text(*row.states));
    if (row.segments) add(segments_text(*row.segments));
    if (row.conntrack_entries) add(conntrack_text(row));
    return text;
}

template <class T> views::Json known(const std::optional<T>& value) {
    return value ? views::Json(*value) : views::Json();
}

views::Json states_document(const std::optional<TcpStates>& of_netns) {
    if (!of_netns) return {};
    views::Json document;
    for (const auto& [name, member] : states) document[name] = (*of_netns).*member;
    return document;
}

views::Json conntrack_document(const std::optional<ConntrackStates>& all) {
    if (!all) return {};
    return {{"looked_at", all->looked_at},
            {"tcp", all->tcp},
            {"udp", all->udp},
            {"other", all->other},
            {"established", all->established.entries},
            {"time_wait", all->time_wait.entries},
            {"close_wait", all->close_wait.entries}};
}

} // namespace

Counted count(probes::Probes& probes) {
    Counted counted;
    const Readings namespaces = probes.namespaces().value_or(Readings());
    const auto sockets = probes.tcp_sockets();
    signals::SocketTable table;
    table.counted(namespaces, sockets ? *sockets : std::nullopt);
    Snapshot snapshot;
    for (const auto& each : namespaces) snapshot.tcp.emplace_back().netns = each.netns;
    table.fill(snapshot);
    for (std::size_t i = 0; i < namespaces.size(); ++i)
        counted.namespaces.push_back({.netns = namespaces[i].netns,
                                      .name = name_of(probes, namespaces[i].netns),
                                      .segments = namespaces[i].segments,
                                      .states = snapshot.tcp[i].states,
                                      .conntrack_entries = std::nullopt,
                                      .conntrack = std::nullopt});
    add_conntrack(counted, probes, namespaces);
    std::ranges::stable_sort(counted.namespaces, std::greater{}, sockets_of);
    counted.softnet = sum_of(probes.softirq());
    counted.conntrack_limit = probes.conntrack_max();
    return counted;
}

views::Json document_of(const Counted& counted) {
    views::Json namespaces = views::Json::array();
    for (const Counted::Netns& row : counted.namespaces) {
        const bool read = row.segments.has_value();
        namespaces.push_back(
            {{"netns", row.netns.inode},
             {"netns_name", row.name.empty() ? views::Json() : views::Json(row.name)},
             {"states", states_document(row.states)},
             {"segments_sent", read ? views::Json(row.segments->sent) : views::Json()},
             {"segments_retransmitted", read ? views::Json(row.segments->retransmitted) : views::Json()},
             {"conntrack_entries", known(row.conntrack_entries)},
             {"conntrack", conntrack_document(row.conntrack)}});
    }
    views::Json softnet;
    if (const auto& all = counted.softnet)
        softnet = {{"processed", all->processed},
                   {"dropped", all->dropped},
                   {"flow_limited", all->flow_limited},
                   {"time_squeeze", all->time_squeeze}};
    return {{"softnet", std::move(softnet)},
            {"conntrack_limit", known(counted.conntrack_limit)},
            {"namespaces", std::move(namespaces)}};
}

std::vector<std::string> lines_of(const Counted& counted, std::size_t most) {
    std::vector<std::string> lines;
    if (const auto& all = counted.softnet)
        lines.push_back(fmt::format("backlogs of all CPUs: {} packets, {} dropped, {} times squeezed", all->processed,
                                    all->dropped, all->time_squeeze));
    if (counted.conntrack_limit)
        lines.push_back(
            fmt::format("conntrack: at most {} entries in each network namespace", *counted.conntrack_limit));
    for (const Counted::Netns& row : counted.namespaces) {
        if (most-- == 0) break;
        lines.push_back(line_of(row));
    }
    return lines;
}

} // namespace bpftune::service

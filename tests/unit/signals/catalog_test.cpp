// SPDX-License-Identifier: Apache-2.0
#include "signals/catalog.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <string>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "probes/widened.hpp"

namespace bpftune::signals {
namespace {

bool is_name(std::string_view text, std::string_view also) {
    return !text.empty() && std::ranges::all_of(text, [&](char c) {
        return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || also.find(c) != std::string_view::npos;
    });
}

template <class Check> void for_each_signal(Check check) {
    for (const Table& table : catalog())
        for (const Signal& signal : table.signals) {
            INFO(signal.name);
            check(table, signal);
        }
}

std::string fields(const Table& table) {
    std::string text;
    for (const Signal& signal : table.signals) text += fmt::format("{} ", signal.json);
    return text;
}

} // namespace

TEST_CASE("each counter says how wide the kernel's is, and nothing else does") {
    for_each_signal([](const Table&, const Signal& signal) {
        if (signal.kind == Kind::counter)
            CHECK((signal.bits == 32 || signal.bits == 64));
        else
            CHECK(signal.bits == 0);
    });
}

TEST_CASE("where the catalog has a counter of 32 bits, the probe widens what it reads") {
    const std::map<std::string_view, std::size_t> widened{
        {"listeners", probes::narrow_counters<probes::ListenerReading>.size()},
        {"softirq", probes::narrow_counters<probes::SoftirqReading>.size()},
        // Two more are made of insert_failed and chain_too_long.
        {"conntrack", probes::narrow_counters<probes::ConntrackReading>.size() + 2},
        {"udp", 2}, // in the kernel: bpf/lib/udp.h
    };
    std::map<std::string_view, std::size_t> narrow;
    for_each_signal([&](const Table& table, const Signal& signal) {
        if (signal.bits == 32) ++narrow[table.json];
    });
    CHECK(narrow == widened);
}

TEST_CASE("tables have the documented fields in the documented order, new ones behind them") {
    const auto tables = catalog();
    REQUIRE(tables.size() == 13);
    CHECK(tables[0].json == "listeners");
    CHECK(fields(tables[0]) == "netns inode address port pid command pod queue queue_peak limit asked somaxconn binds "
                               "drops overflows overflows_per_second arrivals syn_queue fastopen_queue overflows_are "
                               "flooded flood unit netns_name queue_ratio also_held_by ");
    CHECK(tables[1].json == "syn_queue");
    CHECK(fields(tables[1]) ==
          "netns dropped cookies_sent listen_overflows overflows_of_closed cookies_returned "
          "flooded flood other_drops fastopen fastopen_requests fastopen_opened fastopen_failed pod unit netns_name ");
    CHECK(tables[2].json == "time_wait");
    CHECK(fields(tables[2]) ==
          "netns sockets limit entries_per_second overflows ports_exhausted "
          "ports_exhausted_command ports_exhausted_pid ports_exhausted_pod entries ports_exhausted_remote "
          "local_ports tw_reuse tw_reuse_delay_ms pod unit netns_name ");
    CHECK(tables[3].json == "softirq");
    CHECK(fields(tables[3]) ==
          "cpu processed dropped time_squeeze backlog_limit backlog packets_per_second softirq_percent "
          "flow_limited budget budget_usecs idle_percent needed_percent hot_seconds softirq_ratio ");
    CHECK(tables[4].json == "conntrack");
    CHECK(fields(tables[4]) == "netns entries limit entries_per_second inserts_per_second drops early_drops "
                               "insert_failed nat_exhausted clashes chain_too_long clash full_in_seconds buckets "
                               "unanswered_ratio flooded unanswered flood sampled_entries tcp_entries "
                               "udp_entries other_entries established_entries established_idle_entries "
                               "established_timeout_seconds established_needed_seconds time_wait_entries "
                               "time_wait_idle_entries time_wait_timeout_seconds time_wait_needed_seconds "
                               "close_wait_entries close_wait_idle_entries close_wait_timeout_seconds "
                               "close_wait_needed_seconds pod unit netns_name ");
    CHECK(tables[5].json == "buffers");
    CHECK(fields(tables[5]) ==
          "netns rmem_max rmem_default wmem_max wmem_default looked_at left_out receiving_held_back "
          "receiving_bytes_per_second receiving_most_in_round_trip receiving_set_by_application receiving_at_ceiling "
          "receiving_flow receiving_command receiving_pid receiving_local receiving_remote receiving_limit "
          "receiving_rate "
          "receiving_round_trip_us sending_held_back sending_bytes_per_second sending_most_in_round_trip "
          "sending_set_by_application sending_at_ceiling sending_flow sending_command sending_pid sending_local "
          "sending_remote "
          "sending_limit sending_rate sending_round_trip_us window_scale losing_held_back losing_bytes_per_second "
          "losing_set_by_application congestion_control pod unit netns_name ");
    CHECK(tables[6].json == "udp");
    CHECK(fields(tables[6]) == "netns inode address port pid command pod queue buffer set_by drops overflows looks "
                               "looks_past_half lost_to netns_overflows left_out unit netns_name also_held_by ");
    CHECK(tables[7].json == "neighbours");
    CHECK(fields(tables[7]) == "family entries limit refused made unanswered ");
    CHECK(tables[8].json == "fragments");
    CHECK(fields(tables[8]) ==
          "netns family memory_bytes limit_bytes reassembled failed timed_out pod unit netns_name ");
    CHECK(tables[9].json == "socket_memory");
    CHECK(fields(tables[9]) ==
          "protocol bytes low_bytes pressure_bytes high_bytes under_pressure pressures lost held_bytes "
          "still_bytes unheld_bytes largest_netns largest_bytes largest_still_bytes "
          "largest_close_wait_bytes ");
    CHECK(tables[10].json == "tcp");
    CHECK(fields(tables[10]) ==
          "netns segments_sent segments_retransmitted retransmitted_percent established close_wait close_wait_command "
          "close_wait_pid close_wait_held time_wait syn_sent syn_recv fin_wait1 fin_wait2 last_ack closing listening "
          "pod unit netns_name ");
    CHECK(tables[11].json == "steering");
    CHECK(fields(tables[11]) ==
          "netns device packets_per_second bytes_per_second queues rps_cpus pod unit netns_name ");
    CHECK(tables[12].json == "interrupts");
    CHECK(fields(tables[12]) == "irq name device per_second cpu cpus ");
}

TEST_CASE("signal names, fields and metrics are unique and well formed") {
    std::set<std::string_view> names;
    std::set<std::string> columns;
    std::set<std::string_view> metrics;
    for_each_signal([&](const Table& table, const Signal& signal) {
        CHECK(is_name(signal.name, "."));
        CHECK(names.insert(signal.name).second);
        CHECK(is_name(signal.json, ""));
        CHECK(columns.insert(fmt::format("{}/{}", table.json, signal.json)).second);
        if (signal.metric.empty()) return;
        CHECK(is_name(signal.metric, ""));
        CHECK(signal.metric.starts_with("bpftune_"));
        CHECK(metrics.insert(signal.metric).second);
    });
}

TEST_CASE("metrics end in _total exactly where they count, and labels are none") {
    for_each_signal([](const Table&, const Signal& signal) {
        if (signal.kind == Kind::label) CHECK(signal.metric.empty());
        if (!signal.metric.empty()) CHECK(signal.metric.ends_with("_total") == (signal.kind == Kind::counter));
    });
}

TEST_CASE("every signal has one sentence of help and the kernel's name, fit for a Markdown table and a HELP line") {
    for_each_signal([](const Table&, const Signal& signal) {
        CHECK(signal.help.ends_with("."));
        CHECK_FALSE(signal.source.empty());
        for (const std::string_view text : {signal.help, signal.source})
            CHECK(std::ranges::all_of(text, [](char c) { return c >= ' ' && c <= '~' && c != '|' && c != '\\'; }));
    });
}

TEST_CASE("a joined signal has a column before it, and a column has a width") {
    for (const Table& table : catalog()) {
        REQUIRE_FALSE(table.signals.empty());
        CHECK(table.signals.front().join == Join::none);
    }
    for_each_signal([](const Table&, const Signal& signal) {
        if (signal.join == Join::none) CHECK(signal.column.empty() == (signal.width == 0));
    });
}

TEST_CASE("tables have the field that they are labelled by") {
    const std::map<Labels, std::string_view> names{
        {Labels::pod, "pod"}, {Labels::cpu, "cpu"}, {Labels::family, "family"}, {Labels::protocol, "protocol"}};
    for (const Table& table : catalog()) {
        INFO(table.json);
        if (table.labels != Labels::none)
            CHECK(std::ranges::count(table.signals, names.at(table.labels), &Signal::json) == 1);
    }
}

TEST_CASE("one object keeps its identity while its values change, and two differ") {
    Snapshot snapshot;
    snapshot.listeners.resize(2);
    snapshot.listeners[0].cookie = 1;
    snapshot.listeners[1].cookie = 2;
    const Table& listeners = catalog()[0];
    const Identity first = listeners.identity(snapshot, 0);
    CHECK(first != listeners.identity(snapshot, 1));
    snapshot.listeners[0].queue = 9;
    snapshot.listeners[0].pod = Pod{"shop", "web-0", "nginx", ""};
    CHECK(first == listeners.identity(snapshot, 0));
}

} // namespace bpftune::signals

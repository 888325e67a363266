// SPDX-License-Identifier: Apache-2.0
// Events of a ring buffer, one after the other, and what the tables make of them. Each has as many bytes as the
// longest.
#include <algorithm>
#include <variant>

#include "fuzz/fuzz.hpp"
#include "fuzz/snapshots.hpp"
#include "probes/decode.hpp"
#include "signals/tcp_table.hpp"

using namespace bpftune;
using namespace std::chrono_literals;

namespace {

constexpr std::size_t longest = std::max(sizeof(listen_event), sizeof(sysctl_write_event));
constexpr MonoTime now = MonoTime(1h);

struct Taken {
    signals::TcpTable& table;
    Snapshot& snapshot;

    void operator()(const probes::ListenEvent& event) const { table.began(event); }
    void operator()(const probes::PortsExhaustedEvent& event) const { table.ports_exhausted(event); }
    void operator()(const probes::PressureEvent& event) const {
        (void)table.knows_whose(event);
        (void)table.pressure(event, snapshot);
    }
    void operator()(const probes::SysctlWriteEvent& event) const {
        fuzz::must(event.sysctl.size() <= ABI_SYSCTL_NAME_SIZE && event.value.size() <= ABI_SYSCTL_VALUE_SIZE,
                   "a sysctl's name and value are as long as they may be");
    }
    void operator()(const auto&) const {}
};

// A node with one namespace, of which the events may be.
void start(signals::TcpTable& table) {
    const probes::NetnsReading netns{.netns = {.cookie = 1, .inode = 1}, .somaxconn = 4096};
    table.update({.namespaces = std::span(&netns, 1), .queues = {}, .listeners = {}}, now);
}

} // namespace

void fuzz::run(std::span<const std::byte> bytes) {
    signals::TcpTable table;
    start(table);
    Snapshot snapshot;
    while (!bytes.empty()) {
        const auto one = bytes.first(std::min(bytes.size(), longest));
        bytes = bytes.subspan(one.size());
        if (const auto event = probes::event(one)) std::visit(Taken{table, snapshot}, *event);
    }
    must_be_printable(snapshot);
    table.follow_bursts(snapshot, now + 1s, 10s);
    table.tick(snapshot, now + 2s);
    must_be_printable(snapshot);
}

// SPDX-License-Identifier: Apache-2.0
// What the iterators of a census write, and what the tables make of two of them, the second of which is the longer one.
#include <algorithm>
#include <set>

#include "fuzz/fuzz.hpp"
#include "fuzz/snapshots.hpp"
#include "probes/decode.hpp"
#include "signals/buffers.hpp"
#include "signals/tcp_table.hpp"
#include "signals/udp.hpp"

using namespace bpftune;
using namespace std::chrono_literals;

namespace {

constexpr MonoTime now = MonoTime(1h);

struct Tables {
    signals::TcpTable tcp;
    signals::UdpTable udp;
    std::vector<probes::NetnsReading> namespaces; // of the last census

    void census(std::span<const std::byte> bytes, MonoTime at);
    void others(std::span<const std::byte> bytes, MonoTime at);
};

void Tables::census(std::span<const std::byte> bytes, MonoTime at) {
    probes::CensusRecords records;
    const auto taken = records.take(bytes);
    if (!taken) return fuzz::must(is_printable(taken.error().message), "an error is safe to print");
    fuzz::must(*taken <= bytes.size(), "no more is taken than there is");
    probes::Census census = std::move(records).all();
    std::set<std::uint64_t> cookies;
    for (const auto& listener : census.listeners)
        fuzz::must(cookies.insert(listener.cookie).second, "a socket is one listener, whoever holds it");
    namespaces = std::move(census.namespaces);
    tcp.update({.namespaces = namespaces,
                .queues = {},
                .listeners = std::span<const probes::ListenerReading>(census.listeners),
                .lists_whole_namespaces = true},
               at);
    Snapshot snapshot;
    tcp.tick(snapshot, at);
    fuzz::must(snapshot.listeners.size() <= cookies.size(), "what was not in the census is not shown");
    fuzz::must_be_printable(snapshot);
}

void Tables::others(std::span<const std::byte> bytes, MonoTime at) {
    if (const auto flows = probes::flows(bytes)) fuzz::must_be_printable(signals::buffers(namespaces, *flows));
    if (const auto sockets = probes::udp_sockets(bytes)) fuzz::must_be_printable(udp.update(namespaces, *sockets, at));
    const auto walk = probes::socket_walk(bytes);
    fuzz::must(!walk || !walk->whole || bytes.size() == ABI_SOCKET_PARTS * sizeof(sockets_record),
               "a walk is whole that has all parts");
}

} // namespace

// A byte says how many records are in the first census.
void fuzz::run(std::span<const std::byte> bytes) {
    if (bytes.empty()) return;
    const std::size_t records = std::to_integer<std::size_t>(bytes.front()) % 4;
    const auto all = bytes.subspan(1);
    Tables tables;
    tables.census(all.first(std::min(all.size(), records * sizeof(netns_record))), now);
    tables.census(all, now + 1s);
    tables.others(all, now + 1s);
    tables.others(all, now + 2s);
}

// SPDX-License-Identifier: Apache-2.0
// From the ABI's structs to readings. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <vector>

#include "bpf/abi/census.h"
#include "bpf/abi/events.h"
#include "bpf/abi/flows.h"
#include "bpf/abi/queues.h"
#include "bpf/abi/udp.h"
#include "probes/probes.hpp"

namespace bpftune::probes {

NetnsId netns_id(const abi_netns& netns);
Endpoint endpoint(const abi_endpoint& local); // IPv4 as such, also where it comes from an IPv6 socket
std::string command(const __u8 (&comm)[ABI_COMM_SIZE]);
ListenerReading listener_reading(const abi_listener& listener);
NetnsReading netns_reading(const netns_record& record);

FlowReading flow_reading(const flow_record& record);
UdpReading udp_reading(const udp_record& record);
MemoryReading memory_reading(const netns_memory& memory);
CloseWaitReading close_wait_reading(const netns_close_wait& close_wait);
SocketsReading sockets_reading(const netns_sockets& sockets);

// `epoch` is the one that has ended.
QueueReading queue_reading(const queue_key& key, const queue_stats& stats, std::uint32_t epoch);
QueueReading queue_reading(std::uint64_t cookie, const listener_queue& queue, std::uint32_t epoch);

// nullopt: of no kind that this version knows, or cut short.
std::optional<Event> event(std::span<const std::byte> bytes);

// What one run of an iterator wrote. A socket comes once per descriptor; one listener remains, of the lowest pid and
// descriptor, process 1 last.
struct Census {
    std::vector<ListenerReading> listeners;
    std::vector<NetnsReading> namespaces;
};
class CensusRecords {
public:
    // Some of what it wrote, in its order: how many bytes of that are whole records; the others are to come again, with
    // more. Error: they are none.
    Result<std::size_t> take(std::span<const std::byte> records);
    [[nodiscard]] Census all() &&;

private:
    Census found_;
};

Result<std::vector<FlowReading>> flows(std::span<const std::byte> records);
Result<std::vector<UdpReading>> udp_sockets(std::span<const std::byte> records);

// What a walk of the table of connections wrote.
struct SocketWalk {
    std::uint64_t number = 0; // its own
    bool whole = false;       // every part was walked, each chain to its end
};
Result<SocketWalk> socket_walk(std::span<const std::byte> records);

} // namespace bpftune::probes

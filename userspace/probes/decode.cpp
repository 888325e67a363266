// SPDX-License-Identifier: Apache-2.0
#include "probes/decode.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string_view>
#include <tuple>

#include <arpa/inet.h>
#include <netinet/tcp.h>

#include "sys/process.hpp"

namespace bpftune::probes {
namespace {

constexpr std::array<std::uint8_t, 12> mapped_prefix{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};

// No machine runs for 146 years. What is added to such a time, or taken from it, still fits.
constexpr __u64 latest = (__u64{1} << 62) - 1;
MonoTime mono(__u64 nanoseconds) {
    return MonoTime(Nanoseconds(static_cast<std::int64_t>(std::min(nanoseconds, latest))));
}

// The bytes as a T, if there are enough: nothing says that they are aligned for it.
template <class T> std::optional<T> as(std::span<const std::byte> bytes) {
    if (bytes.size() < sizeof(T)) return std::nullopt;
    T value;
    std::memcpy(&value, bytes.data(), sizeof(T));
    return value;
}

// Ended by a NUL, else all of it.
template <std::size_t size> std::string text(const __u8 (&bytes)[size]) { return {bytes, std::ranges::find(bytes, 0)}; }

Event to_event(const pressure_event& event) {
    return PressureEvent{.time = mono(event.time),
                         .netns = netns_id(event.netns),
                         .local = endpoint(event.local),
                         .cookie = event.cookie,
                         .transparent = event.transparent != 0,
                         .depth = event.depth,
                         .limit = event.limit,
                         .busy_since = mono(event.busy_since),
                         .busy_arrivals = event.busy_arrivals};
}

Event to_event(const listen_event& event) {
    return ListenEvent{.time = mono(event.time), .listener = listener_reading(event.listener)};
}

Event to_event(const ports_exhausted_event& event) {
    return PortsExhaustedEvent{.time = mono(event.time),
                               .netns = netns_id(event.netns),
                               .pid = static_cast<int>(event.pid),
                               .command = command(event.comm),
                               .remote = endpoint(event.remote)};
}

Event to_event(const conntrack_full_event& event) {
    return ConntrackFullEvent{.time = mono(event.time), .netns = netns_id(event.netns)};
}

Event to_event(const sysctl_write_event& event) {
    return SysctlWriteEvent{.time = mono(event.time),
                            .netns = netns_id(event.netns),
                            .sysctl = text(event.name),
                            .value = text(event.value),
                            .pid = static_cast<int>(event.pid),
                            .command = command(event.comm)};
}

Event to_event(const backlog_drop_event& event) { return BacklogDropEvent{.time = mono(event.time), .cpu = event.cpu}; }

template <class T> std::optional<Event> decoded(std::span<const std::byte> bytes) {
    const auto raw = as<T>(bytes);
    if (!raw) return std::nullopt;
    return to_event(*raw);
}

bool is_of_init(const ListenerReading& listener) { return listener.pid == sys::init_process; }

// Sorts by socket, then by who is named for it, and keeps the first of each socket. systemd, which is process 1, keeps
// what it opened for others.
void keep_first_holders(std::vector<ListenerReading>& listeners) {
    const auto order = [](const ListenerReading& listener) {
        return std::tuple(listener.cookie, is_of_init(listener), listener.pid, listener.fd);
    };
    std::ranges::sort(listeners, {}, order);
    for (auto first = listeners.begin(); first != listeners.end();) {
        const auto next = std::ranges::upper_bound(first, listeners.end(), first->cookie, {}, &ListenerReading::cookie);
        first->is_held_by_init = !is_of_init(*first) && is_of_init(*std::prev(next));
        first = next;
    }
    const auto rest = std::ranges::unique(listeners, {}, &ListenerReading::cookie);
    listeners.erase(rest.begin(), rest.end());
}

} // namespace

NetnsId netns_id(const abi_netns& netns) { return {.cookie = netns.cookie, .inode = netns.inode}; }

Endpoint endpoint(const abi_endpoint& local) {
    const bool v4 = std::memcmp(local.address, mapped_prefix.data(), mapped_prefix.size()) == 0;
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(v4 ? AF_INET : AF_INET6, local.address + (v4 ? mapped_prefix.size() : 0), text.data(), text.size());
    return {.address = text.data(), .port = local.port};
}

std::string command(const __u8 (&comm)[ABI_COMM_SIZE]) { return text(comm); }

ListenerReading listener_reading(const abi_listener& listener) {
    ListenerReading reading{.netns = netns_id(listener.netns),
                            .cookie = listener.cookie,
                            .inode = listener.inode,
                            .local = endpoint(listener.local),
                            .reuseport = listener.reuseport != 0,
                            .transparent = listener.transparent != 0,
                            .defers = listener.defers != 0,
                            .pid = static_cast<int>(listener.pid),
                            .fd = listener.fd,
                            .command = command(listener.comm),
                            .queue = listener.queue,
                            .syn_queue = listener.syn_queue,
                            .limit = listener.limit,
                            .drops = listener.drops,
                            .last_ack_overflows = listener.last_ack_overflows,
                            .overflows = std::nullopt,
                            .queue_cookie = listener.queue_cookie,
                            .asked = std::nullopt,
                            .fastopen_queue = listener.fastopen_queue};
    if (listener.asked_known != 0) reading.asked = listener.asked;
    if (listener.overflows_known != 0) reading.overflows = listener.overflows;
    return reading;
}

std::optional<NetnsReading::Fragments> fragments_of(const netns_record& record, unsigned version) {
    if ((record.fragments_known >> version & 1U) == 0) return std::nullopt;
    const abi_fragments& all = record.fragments[version];
    return NetnsReading::Fragments{.memory = all.memory,
                                   .limit = all.limit,
                                   .timed_out = all.mibs[ABI_IP_MIB_REASMTIMEOUT],
                                   .arrived = all.mibs[ABI_IP_MIB_REASMREQDS],
                                   .reassembled = all.mibs[ABI_IP_MIB_REASMOKS],
                                   .failed = all.mibs[ABI_IP_MIB_REASMFAILS]};
}

NetnsReading::Memory memory_of(const netns_record& record) {
    NetnsReading::Memory memory{.pressures = record.mibs[ABI_MIB_TCPMEMORYPRESSURES],
                                .queue_drops = record.mibs[ABI_MIB_TCPRCVQDROP],
                                .aborted = record.mibs[ABI_MIB_TCPABORTONMEMORY],
                                .udp_errors = std::nullopt};
    if (record.mem_errors_known != 0) memory.udp_errors = record.udp_mibs[ABI_UDP_MIB_MEMERRORS];
    return memory;
}

std::optional<NetnsReading::Segments> segments_of(const netns_record& record) {
    if (record.tcp_mibs_known == 0) return std::nullopt;
    return NetnsReading::Segments{.sent = record.tcp_mibs[ABI_TCP_MIB_OUTSEGS],
                                  .retransmitted = record.tcp_mibs[ABI_TCP_MIB_RETRANSSEGS],
                                  .connects = record.tcp_mibs[ABI_TCP_MIB_ACTIVEOPENS]};
}

NetnsReading netns_reading(const netns_record& record) {
    return {.netns = netns_id(record.netns),
            .pid = static_cast<int>(record.pid),
            .user_ns_owner = record.in_user_ns != 0 ? std::optional(record.user_ns_owner) : std::nullopt,
            .somaxconn = record.somaxconn,
            .max_syn_backlog = record.max_syn_backlog,
            .syncookies = record.syncookies,
            .listen_overflows = record.mibs[ABI_MIB_LISTENOVERFLOWS],
            .listen_drops = record.mibs[ABI_MIB_LISTENDROPS],
            .syn_queue_full_drops = record.mibs[ABI_MIB_TCPREQQFULLDROP],
            .deferred = record.mibs[ABI_MIB_TCPDEFERACCEPTDROP],
            .cookies_sent = record.mibs[ABI_MIB_SYNCOOKIESSENT],
            .cookies_returned = record.mibs[ABI_MIB_SYNCOOKIESRECV],
            .fastopen = record.fastopen,
            .fastopen_requests = record.mibs[ABI_MIB_TCPFASTOPENCOOKIEREQD],
            .fastopen_opened = record.mibs[ABI_MIB_TCPFASTOPENPASSIVE],
            .fastopen_failed =
                record.mibs[ABI_MIB_TCPFASTOPENPASSIVEFAIL] + record.mibs[ABI_MIB_TCPFASTOPENLISTENOVERFLOW],
            .time_waited = record.mibs[ABI_MIB_TIMEWAITED],
            .time_wait_killed = record.mibs[ABI_MIB_TIMEWAITKILLED],
            .time_wait_overflows = record.mibs[ABI_MIB_TCPTIMEWAITOVERFLOW],
            .time_wait_sockets = record.time_wait_sockets,
            .time_wait_limit = record.time_wait_limit,
            .ports_exhausted = record.ports_exhausted,
            .own_ports_exhausted = record.own_ports_exhausted,
            .local_ports = LocalPorts{.first = static_cast<std::uint16_t>(record.local_ports),
                                      .last = static_cast<std::uint16_t>(record.local_ports >> 16)},
            .tw_reuse = record.tw_reuse,
            .tw_reuse_delay_ms = record.tw_reuse_delay > 0 ? std::optional(record.tw_reuse_delay) : std::nullopt,
            .congestion_control = text(record.congestion),
            .rmem = NetnsReading::TcpMem{.middle = record.rmem_default, .max = record.rmem_max},
            .wmem = NetnsReading::TcpMem{.middle = record.wmem_default, .max = record.wmem_max},
            .udp = NetnsReading::Udp{.received = record.udp_mibs[ABI_UDP_MIB_INDATAGRAMS],
                                     .buffer_errors = record.udp_mibs[ABI_UDP_MIB_RCVBUFERRORS]},
            .segments = segments_of(record),
            .own_connections = record.own_connections != 0,
            .memory = memory_of(record),
            .fragments = {fragments_of(record, 0), fragments_of(record, 1)}};
}

// Whether a limit changed since the look before the last one: its rates are of neither.
bool limit_changed(const flow_record& record) {
    return record.changed != 0 || record.rmem_max != record.rmem_looked || record.wmem_max != record.wmem_looked ||
           record.congestion_now != record.congestion_looked;
}

std::optional<std::uint64_t> rate_before(const flow_record& record, std::uint64_t rate) {
    return rate > 0 && !limit_changed(record) ? std::optional(rate) : std::nullopt;
}

FlowReading flow_reading(const flow_record& record) {
    const auto held_by = [&](abi_held_by what) { return (record.held_by & what) != 0; };
    return {.netns = netns_id(record.netns),
            .cookie = record.cookie,
            .local = endpoint(record.local),
            .remote = endpoint(record.remote),
            .pid = static_cast<int>(record.pid),
            .fd = record.fd,
            .command = command(record.comm),
            .decided = record.decided != 0,
            .held_by = {.rmem = held_by(ABI_HELD_BY_RMEM),
                        .wmem = held_by(ABI_HELD_BY_WMEM),
                        .own_rcvbuf = held_by(ABI_HELD_BY_OWN_RCVBUF),
                        .own_sndbuf = held_by(ABI_HELD_BY_OWN_SNDBUF),
                        .window_scale = held_by(ABI_HELD_BY_WINDOW_SCALE),
                        .loss = held_by(ABI_HELD_BY_LOSS),
                        .loss_of_own = held_by(ABI_HELD_BY_LOSS_OF_OWN)},
            .received_per_second = record.received_per_second,
            .acked_per_second = record.acked_per_second,
            .limit_changed = limit_changed(record),
            .received_before = rate_before(record, record.received_before),
            .acked_before = rate_before(record, record.acked_before),
            .lossy_before = rate_before(record, record.lossy_before),
            .lossy_per_second = record.lossy_per_second,
            .congestion_control = text(record.congestion),
            .received_since = record.received_since,
            .acked_since = record.acked_since,
            .received_in_round_trip = record.received_in_round_trip,
            .acked_in_round_trip = record.acked_in_round_trip,
            .round_trip_us = record.round_trip_us,
            .window = record.window,
            .widest_window = record.widest,
            .rcvbuf = record.rcvbuf,
            .sndbuf = record.sndbuf,
            .rmem_max = record.rmem_max,
            .wmem_max = record.wmem_max,
            .left_out = record.left_out};
}

MemoryReading memory_reading(const netns_memory& memory) {
    return {.netns = netns_id(memory.netns),
            .tcp = {.held = memory.held[ABI_MEMORY_OF_TCP],
                    .still = memory.still[ABI_MEMORY_OF_TCP],
                    .close_wait = memory.close_wait},
            .udp = {.held = memory.held[ABI_MEMORY_OF_UDP], .still = memory.still[ABI_MEMORY_OF_UDP]}};
}

CloseWaitReading close_wait_reading(const netns_close_wait& close_wait) {
    return {.netns = netns_id(close_wait.netns),
            .holder = {
                .pid = static_cast<int>(close_wait.pid), .command = command(close_wait.comm), .held = close_wait.most}};
}

// By include/net/tcp_states.h. A handshake under way is TCP_NEW_SYN_RECV, or TCP_SYN_RECV where its request came with
// its SYN.
SocketsReading sockets_reading(const netns_sockets& sockets) {
    const auto& in = sockets.by_state;
    constexpr std::size_t new_syn_recv = 12;
    return {.netns = netns_id(sockets.netns),
            .states = {.established = in[TCP_ESTABLISHED],
                       .syn_sent = in[TCP_SYN_SENT],
                       .syn_recv = std::uint64_t{in[TCP_SYN_RECV]} + in[new_syn_recv],
                       .fin_wait1 = in[TCP_FIN_WAIT1],
                       .fin_wait2 = in[TCP_FIN_WAIT2],
                       .time_wait = in[TCP_TIME_WAIT],
                       .close_wait = in[TCP_CLOSE_WAIT],
                       .last_ack = in[TCP_LAST_ACK],
                       .closing = in[TCP_CLOSING]}};
}

UdpReading udp_reading(const udp_record& record) {
    return {.netns = netns_id(record.netns),
            .cookie = record.cookie,
            .inode = record.inode,
            .local = endpoint(record.local),
            .pid = static_cast<int>(record.pid),
            .fd = record.fd,
            .command = command(record.comm),
            .is_held_by_init = record.held_by_init != 0,
            .queue = record.queue,
            .buffer = record.rcvbuf,
            .set_by_application = record.locked != 0,
            .drops = record.drops,
            .drops_before = record.drops_before,
            .most_dropped = record.most_dropped,
            .looks = record.looks,
            .looks_past_half = static_cast<unsigned>(std::popcount(record.past_half)),
            .lost_at = mono(record.lost_at),
            .left_out = record.left_out};
}

namespace {

QueueReading queue_reading(const NetnsId& netns, const abi_endpoint& local, const queue_stats& stats,
                           std::uint32_t epoch) {
    QueueReading reading{.netns = netns, .local = endpoint(local), .arrivals = stats.arrivals, .limit = stats.limit};
    const queue_epoch& ended = stats.epochs[epoch & 1];
    const queue_epoch& next = stats.epochs[(epoch + 1) & 1];
    if (ended.epoch != epoch) return reading;
    reading.epoch_peak = ended.peak;
    reading.epoch_floor = ended.floor;
    const __u64 end = next.epoch == epoch + 1 ? next.arrivals_before : stats.arrivals;
    reading.epoch_arrivals = end - ended.arrivals_before;
    if (ended.syn_peak != 0) reading.epoch_syn_peak = ended.syn_peak;
    return reading;
}

} // namespace

QueueReading queue_reading(const queue_key& key, const queue_stats& stats, std::uint32_t epoch) {
    // Without a cookie the key is the inode.
    const NetnsId netns{.cookie = key.netns == stats.netns_inode ? 0 : key.netns, .inode = stats.netns_inode};
    QueueReading reading = queue_reading(netns, key.local, stats, epoch);
    reading.transparent = key.transparent != 0;
    return reading;
}

QueueReading queue_reading(std::uint64_t cookie, const listener_queue& queue, std::uint32_t epoch) {
    QueueReading reading = queue_reading(netns_id(queue.netns), queue.local, queue.stats, epoch);
    reading.cookie = cookie;
    return reading;
}

std::optional<Event> event(std::span<const std::byte> bytes) {
    switch (as<__u32>(bytes).value_or(0)) {
    case ABI_PRESSURE_EVENT: return decoded<pressure_event>(bytes);
    case ABI_LISTEN_EVENT: return decoded<listen_event>(bytes);
    case ABI_PORTS_EXHAUSTED_EVENT: return decoded<ports_exhausted_event>(bytes);
    case ABI_BACKLOG_DROP_EVENT: return decoded<backlog_drop_event>(bytes);
    case ABI_CONNTRACK_FULL_EVENT: return decoded<conntrack_full_event>(bytes);
    case ABI_SYSCTL_WRITE_EVENT: return decoded<sysctl_write_event>(bytes);
    default: return std::nullopt;
    }
}

Result<std::size_t> CensusRecords::take(std::span<const std::byte> records) {
    const std::size_t given = records.size();
    while (const auto kind = as<__u64>(records)) {
        if (*kind != ABI_LISTENER_RECORD && *kind != ABI_NETNS_RECORD)
            return failure("a BPF iterator wrote {} bytes that are no record", records.size());
        const std::size_t size = *kind == ABI_LISTENER_RECORD ? sizeof(listener_record) : sizeof(netns_record);
        if (records.size() < size) break;
        if (*kind == ABI_LISTENER_RECORD)
            found_.listeners.push_back(listener_reading(as<listener_record>(records)->listener));
        else
            found_.namespaces.push_back(netns_reading(*as<netns_record>(records)));
        records = records.subspan(size);
    }
    return given - records.size();
}

Census CensusRecords::all() && {
    keep_first_holders(found_.listeners);
    return std::move(found_);
}

namespace {

// Of one kind alone: `what` they are.
template <class Record, class Reading>
Result<std::vector<Reading>> readings_of(std::span<const std::byte> records, abi_record_kind kind,
                                         Reading (*reading_of)(const Record&), std::string_view what) {
    std::vector<Reading> found;
    for (; !records.empty(); records = records.subspan(sizeof(Record))) {
        const auto record = as<Record>(records);
        if (!record || record->kind != kind)
            return failure("a BPF iterator wrote {} bytes that are no {}", records.size(), what);
        found.push_back(reading_of(*record));
    }
    return found;
}

} // namespace

Result<std::vector<FlowReading>> flows(std::span<const std::byte> records) {
    return readings_of<flow_record, FlowReading>(records, ABI_FLOW_RECORD, flow_reading, "flow");
}

Result<std::vector<UdpReading>> udp_sockets(std::span<const std::byte> records) {
    return readings_of<udp_record, UdpReading>(records, ABI_UDP_RECORD, udp_reading, "UDP socket");
}

Result<SocketWalk> socket_walk(std::span<const std::byte> records) {
    SocketWalk walk{.whole = records.size() == ABI_SOCKET_PARTS * sizeof(sockets_record)};
    for (; !records.empty(); records = records.subspan(sizeof(sockets_record))) {
        const auto part = as<sockets_record>(records);
        if (!part) return failure("a BPF iterator wrote {} bytes that are no part of a walk", records.size());
        walk.number = part->walk;
        walk.whole = walk.whole && part->missed == 0;
    }
    return walk;
}

} // namespace bpftune::probes

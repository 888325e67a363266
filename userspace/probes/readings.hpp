// SPDX-License-Identifier: Apache-2.0
// What the probes read, as the kernel has it: absolute counters, no rates, no baselines. signals/ makes a Snapshot of
// it.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/cpus.hpp"
#include "core/ids.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "sys/netns.hpp"
#include "sys/procfs.hpp"
#include "sys/visit.hpp"

namespace bpftune::probes {

// A listening TCP socket. Text is raw bytes of the process. An address is IPv4 where the traffic is: also that of an
// IPv6 socket bound to ::ffff:a.b.c.d. "::" is IPv6's wildcard.
struct ListenerReading {
    NetnsId netns;
    std::uint64_t cookie = 0;
    std::uint64_t inode = 0;
    Endpoint local;
    bool reuseport = false;          // shares its port with others, among which the kernel chooses
    std::optional<bool> transparent; // IP_TRANSPARENT: takes connections to other ports too; nullopt: not told
    bool defers = false;             // TCP_DEFER_ACCEPT, where that is told
    int pid = 0;                     // lowest that holds it, process 1 last
    int fd = -1;
    std::string command;
    bool is_held_by_init = false; // process 1 holds it as well
    std::uint32_t queue = 0;
    std::optional<std::uint32_t> syn_queue; // handshakes under way, cookies not counted
    std::uint32_t limit = 0;
    std::uint64_t drops = 0;                // sk_drops; 32 bits in the kernel, widened by the probe as it is read
    std::uint64_t last_ack_overflows = 0;   // kfree_skb TCP_LISTEN_OVERFLOW with rx_sk: each was counted in drops twice
    std::optional<std::uint64_t> overflows; // its own part of ListenOverflows, since the probe was attached
    std::uint64_t queue_cookie = 0;         // of the socket that takes its connections: another one with MPTCP
    std::optional<std::uint32_t> asked;
    std::optional<std::uint32_t> fastopen_queue; // as in core/snapshot.hpp, as are the next ones of that name
};

// What passed through one accept queue: that of the socket `cookie`; without it, those at a local endpoint (of one
// listener, unless several share the port). "Epoch": since the previous reading.
struct QueueReading {
    NetnsId netns;
    Endpoint local;           // with a cookie of the listener, else of the connections: never a wildcard
    std::uint64_t cookie = 0; // 0: unknown
    bool transparent = false; // without a cookie: the listener, which has IP_TRANSPARENT, may have another port
    std::uint64_t arrivals = 0;
    std::uint32_t limit = 0;       // that the last arrival saw
    std::uint32_t epoch_peak = 0;  // depth including the arrival itself
    std::uint32_t epoch_floor = 0; // depth that the emptiest arrival found
    std::uint64_t epoch_arrivals = 0;
    std::optional<std::uint32_t> epoch_syn_peak; // half-open connections at the fullest moment that a SYN made
};

// A queue has passed the share of its limit that Options::pressure_ratio says, or a quarter of it so fast that it would
// be full before somebody could act at that (Options::fills_at_once). Sent once when each happens and again at most
// every Options::event_interval while it lasts: for connections that get in, and by fentry also for those that a full
// queue turns away.
struct PressureEvent {
    MonoTime time;
    NetnsId netns;
    Endpoint local;           // as in QueueReading
    std::uint64_t cookie = 0; // as in QueueReading
    bool transparent = false; // as in QueueReading
    std::uint32_t depth = 0;  // including this arrival
    std::uint32_t limit = 0;
    MonoTime busy_since;             // when an arrival last found the queue empty; time of the first one seen if never;
                                     // 0 if that one found others waiting
    std::uint64_t busy_arrivals = 0; // since then
};

// A socket began to listen. Its port is 0 if it was not bound: the kernel chooses one only after this.
struct ListenEvent {
    MonoTime time;
    ListenerReading listener; // queue and drops 0; fd and asked where the system call was listen(2)
};

// A connect() failed for want of a local port, in the context of the process that suffered it. At most one per
// namespace and Options::event_interval; all are counted in NetnsReading::ports_exhausted.
struct PortsExhaustedEvent {
    MonoTime time;
    NetnsId netns;
    int pid = 0;
    std::string command;
    Endpoint remote; // whom it wanted to reach
};

// A packet was dropped because a CPU's backlog was full. At most one per CPU and Options::event_interval. Where the
// program would serve nothing else, only after a reading has found drops, and for as long as a minute of readings does.
struct BacklogDropEvent {
    MonoTime time;
    unsigned cpu = 0; // that dropped it; with RPS the full backlog may be another's: softnet_stat says whose
};

// The conntrack table was full when a connection came. At most one per namespace and Options::event_interval.
struct ConntrackFullEvent {
    MonoTime time;
    NetnsId netns;
};

// A process is about to write a sysctl of Options::sysctls; the kernel may refuse it. At most four for each of a
// namespace and Options::event_interval.
struct SysctlWriteEvent {
    MonoTime time;
    NetnsId netns; // of the thread that writes
    std::string sysctl;
    std::string value; // raw bytes, the first 31
    int pid = 0;
    std::string command;
};

// A network namespace that some task is in, or that some listener of the census belongs to (without a task: as of the
// last census). nullopt: not seen on this rung, or with these rights.
struct NetnsReading {
    NetnsId netns;
    int pid = 0; // a process in it; 0: none found
    // Who made the user namespace that it is in (sys::user_ns_owner); nullopt: that is the node's own, or not known.
    std::optional<std::uint32_t> user_ns_owner;
    std::optional<std::uint32_t> somaxconn;
    std::uint32_t max_syn_backlog = 0; // known where somaxconn is, as are these
    std::uint32_t syncookies = 1;
    std::uint64_t listen_overflows = 0;
    std::uint64_t listen_drops = 0;
    std::uint64_t syn_queue_full_drops = 0; // TCPReqQFullDrop: SYNs that found as many as the backlog under way
    std::uint64_t deferred = 0;             // TCPDeferAcceptDrop: last ACKs that wait for data, each in sk_drops
    std::uint64_t cookies_sent = 0;
    std::uint64_t cookies_returned = 0;
    std::optional<std::uint32_t> fastopen;
    std::uint64_t fastopen_requests = 0;
    std::uint64_t fastopen_opened = 0;
    std::uint64_t fastopen_failed = 0;
    std::uint64_t time_waited = 0;
    std::uint64_t time_wait_killed = 0;
    std::uint64_t time_wait_overflows = 0;
    std::uint64_t time_wait_sockets = 0;
    std::optional<std::uint64_t> time_wait_limit;
    std::optional<std::uint64_t> ports_exhausted;   // since the probe was attached
    std::uint64_t own_ports_exhausted = 0;          // of these, of sockets that have a range of their own
    std::optional<LocalPorts> local_ports;          // ip_local_port_range
    std::optional<std::uint32_t> tw_reuse;          // tcp_tw_reuse
    std::optional<std::uint32_t> tw_reuse_delay_ms; // tcp_tw_reuse_delay, since 6.14
    std::string congestion_control;                 // tcp_congestion_control; empty: not read
    struct TcpMem {
        std::uint32_t middle = 0; // what a socket begins with
        std::uint32_t max = 0;
    };
    std::optional<TcpMem> rmem;
    std::optional<TcpMem> wmem;
    struct Udp {
        std::uint64_t received = 0;      // UDP_MIB_INDATAGRAMS, as the next of IPv4 and IPv6 together
        std::uint64_t buffer_errors = 0; // UDP_MIB_RCVBUFERRORS
    };
    std::optional<Udp> udp;
    struct Segments {
        std::uint64_t sent = 0;          // TCP_MIB_OUTSEGS
        std::uint64_t retransmitted = 0; // TCP_MIB_RETRANSSEGS
        std::uint64_t connects = 0;      // TCP_MIB_ACTIVEOPENS: connect() that had a port
    };
    std::optional<Segments> segments;
    bool own_connections = false; // they are in a table of its own (tcp_child_ehash_entries), which nobody walks
    // What memory that all sockets of the node share was lacking.
    struct Memory {
        std::uint64_t pressures = 0;             // LINUX_MIB_TCPMEMORYPRESSURES: times it came upon TCP, here
        std::uint64_t queue_drops = 0;           // LINUX_MIB_TCPRCVQDROP: for a full buffer of one socket as well
        std::uint64_t aborted = 0;               // LINUX_MIB_TCPABORTONMEMORY: for too many orphans as well
        std::optional<std::uint64_t> udp_errors; // UDP_MIB_MEMERRORS (since 5.11): for a memory cgroup's limit as well
    };
    std::optional<Memory> memory;
    struct Fragments {
        std::uint64_t memory = 0; // bytes, of those that wait for the rest of their datagram
        std::uint64_t limit = 0;
        std::uint64_t timed_out = 0;   // IPSTATS_MIB_REASMTIMEOUT
        std::uint64_t arrived = 0;     // IPSTATS_MIB_REASMREQDS: fragments
        std::uint64_t reassembled = 0; // IPSTATS_MIB_REASMOKS
        std::uint64_t failed = 0;      // IPSTATS_MIB_REASMFAILS: those that timed out as well
    };
    std::array<std::optional<Fragments>, 2> fragments; // of IPv4 and of IPv6

    // Of one that no process is in, but that is bound to a file: how it is reached, and what was found there when it
    // was last looked into.
    std::string path;
    MonoTime read;                               // when that was
    bool has_sockets = true;                     // false: it had none, so nobody listens
    std::optional<sys::ConntrackStat> conntrack; // of its table

    [[nodiscard]] sys::NetnsHint hint() const { return {.pid = pid, .path = path}; }
};

// A network device of one namespace; its steering is that of its first receive queue.
struct DeviceReading {
    std::string name;
    std::uint32_t ifindex = 0;
    std::uint64_t queues = 0; // receive queues
    bool is_hardware = false;
    bool is_read_only = false;    // its sysfs
    bool is_denied = false;       // rps_cpus is another user's file
    std::optional<Cpus> near;     // of its NUMA node
    std::optional<Cpus> rps_cpus; // nullopt: there is no such file, or it went meanwhile
};

// An interrupt of a network device that is hardware, in the init network namespace.
struct InterruptReading {
    std::string device; // its name
    std::uint32_t ifindex = 0;
    sys::Received received;
    std::optional<Cpus> near; // as in DeviceReading
    std::uint32_t irq = 0;
    Cpus cpus;                                             // smp_affinity
    std::optional<Cpus> delivered_to;                      // effective_affinity; nullopt: this kernel does not tell
    bool is_fixed = false;                                 // nobody may set its CPUs
    std::string name;                                      // of who handles it
    std::vector<std::pair<unsigned, std::uint64_t>> taken; // by each CPU that is online, since boot
};

// Whether to look at a device, by its name and what it has received.
using WantsDevice = std::function<bool(std::string_view name, const sys::Received& received)>;

// What the sockets of a network namespace that processes hold have of the memory of TCP, and of UDP. Bytes.
struct MemoryReading {
    struct Pool {
        std::uint64_t held = 0;
        std::uint64_t still = 0;      // by sockets that have neither sent, received nor been read from for 3 s
        std::uint64_t close_wait = 0; // by sockets of TCP whose other end has closed
    };
    NetnsId netns;
    Pool tcp;
    Pool udp;
};

// TCP sockets of a network namespace by state.
struct SocketsReading {
    NetnsId netns;
    TcpStates states;
};

// Who held most connections of a network namespace in CLOSE_WAIT when the last census came by.
struct CloseWaitReading {
    NetnsId netns;
    CloseWaitHolder holder; // its command as raw bytes
};

// What held a flow back between its last two looks.
struct HeldBy {
    bool rmem = false; // the last value of tcp_rmem
    bool wmem = false;
    bool own_rcvbuf = false; // SO_RCVBUF of its application
    bool own_sndbuf = false;
    bool window_scale = false; // its handshake, whatever the buffer
    bool loss = false;         // of packets, where none has to wait
    bool loss_of_own = false;  // the same, by a congestion control that its application has chosen
};

// A TCP connection that some size which does not grow any more may hold back. Text is raw bytes of the process.
struct FlowReading {
    NetnsId netns;
    std::uint64_t cookie = 0;
    Endpoint local;
    Endpoint remote;
    int pid = 0; // lowest that holds it
    int fd = -1;
    std::string command;
    bool decided = false; // looked at twice: what follows is known
    HeldBy held_by;
    std::uint64_t received_per_second = 0; // bytes, as all
    std::uint64_t acked_per_second = 0;
    bool limit_changed = false; // between the two looks: their rates are of neither limit
    // At the smaller limit that held it back, until that was raised; nullopt: it was not, or the rates are not wholly
    // of the new one.
    std::optional<std::uint64_t> received_before;
    std::optional<std::uint64_t> acked_before;
    // By the congestion control before, while packets were lost.
    std::optional<std::uint64_t> lossy_before;
    std::uint64_t lossy_per_second = 0; // bytes that were acknowledged, while it is held back by loss
    std::string congestion_control;
    std::uint64_t received_since = 0; // on the average of all looks since, known where received_before is
    std::uint64_t acked_since = 0;
    std::uint64_t received_in_round_trip = 0; // in its least one, at that rate
    std::uint64_t acked_in_round_trip = 0;
    std::uint32_t round_trip_us = 0; // the least
    std::uint32_t window = 0;        // the widest that its buffer lets it announce
    std::uint32_t widest_window = 0; // that its handshake allows
    std::uint32_t rcvbuf = 0;
    std::uint32_t sndbuf = 0;
    std::uint32_t rmem_max = 0; // of its namespace
    std::uint32_t wmem_max = 0;
    std::uint32_t left_out = 0; // descriptors of such flows of its namespace for which there was no room
};

// A UDP socket that has dropped datagrams since the service began, as of a look at it. Text is raw bytes of the
// process.
struct UdpReading {
    NetnsId netns;
    std::uint64_t cookie = 0;
    std::uint64_t inode = 0;
    Endpoint local;
    int pid = 0; // lowest that holds it, process 1 last
    int fd = -1;
    std::string command;
    bool is_held_by_init = false; // process 1 holds it as well
    std::uint32_t queue = 0;      // bytes that wait to be read, as the kernel counts them
    std::uint32_t buffer = 0;     // sk_rcvbuf
    bool set_by_application = false;
    std::uint64_t drops = 0;        // since the service began, for whatever reason
    std::uint64_t drops_before = 0; // of these, those known when looks at it began, the last time
    std::uint32_t most_dropped = 0; // between two looks
    unsigned looks = 0;             // since it began to drop, as the next: the last ABI_UDP_LOOKS of them
    unsigned looks_past_half = 0;   // that found more than half of its buffer in use
    MonoTime lost_at;               // when a look last found more drops
    std::uint32_t left_out = 0;     // descriptors of such sockets of its namespace for which there was no room
};

struct SoftirqReading {
    unsigned cpu = 0;
    std::uint64_t processed = 0;
    std::uint64_t dropped = 0;
    std::uint64_t time_squeeze = 0;
    std::optional<std::uint64_t> backlog;
    std::uint64_t flow_limited = 0;
};

// One address family's neighbour table, and its limits.
struct NeighbourReading {
    Family family = Family::ipv4;
    sys::NeighbourStat stat;
    std::optional<std::uint64_t> gc_thresh1;
    std::optional<std::uint64_t> gc_thresh2;
    std::optional<std::uint64_t> gc_thresh3;
};

struct ConntrackReading {
    NetnsId netns;
    std::optional<MonoTime> read; // when, if that was not just now
    std::uint64_t entries = 0;
    std::uint64_t drops = 0;
    std::uint64_t early_drops = 0;
    std::uint64_t insert_failed = 0;
    std::uint64_t chain_too_long = 0;
    std::optional<std::uint64_t> inserts; // since the probe was attached
};

// One end of a connection, as it is in a packet. IPv4 is in the first four bytes.
struct ConntrackEnd {
    std::array<std::uint8_t, 16> address{};
    std::uint16_t port = 0; // 0: of a protocol without

    auto operator<=>(const ConntrackEnd&) const = default;
};

struct ConntrackEntry {
    std::uint32_t id = 0;                 // the kernel's, as long as the entry lives
    std::uint8_t family = 0;              // AF_INET, AF_INET6
    std::uint8_t transport = 0;           // IPPROTO_*
    bool unanswered = false;              // no packet of the other side, or a TCP handshake that is not completed
    bool source_nat = false;              // its source was changed
    std::uint16_t port = 0;               // that its first packet was sent to
    std::uint16_t from = 0;               // and from
    ConntrackEnd translated;              // what the other side takes it to come from
    ConntrackEnd peer;                    // the other side
    std::uint8_t tcp_state = 0;           // TCP_CONNTRACK_*; of no TCP: 0
    std::optional<std::uint32_t> ends_in; // seconds, without another packet; nullopt: not by itself (it is offloaded)
};

// Some entries of one namespace's conntrack table, taken without regard to what they are: those of some hash buckets,
// of the same in each sample and in the same order, from the first one on.
struct ConntrackSample {
    std::vector<ConntrackEntry> entries;
    bool whole = false;                             // these are all there are
    std::optional<sys::ConntrackTimeouts> timeouts; // of the namespace; nullopt: not known
};

} // namespace bpftune::probes

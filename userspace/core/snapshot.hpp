// SPDX-License-Identifier: Apache-2.0
// What is known of the node at one moment: plain values, made by signals/, read by everything downstream.
//
// Counters are since the source began (the start of the service), never wrap and never fall for one object. Rates are
// per second over the last interval. std::nullopt is "unknown", never zero. All text has been through `printable`.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "core/time.hpp"

namespace bpftune {

// An object that was not seen for this long is forgotten. If it comes back before, its counters go on where they were;
// what they counted meanwhile is no news.
constexpr Nanoseconds gone_remembered = std::chrono::minutes(15);

// The probes, in the order of their keys in `sources`.
enum class Probe { listen, time_wait, softirq, conntrack, sysctl, buffers, neighbours };
inline constexpr std::array all_probes{Probe::listen, Probe::time_wait, Probe::softirq,   Probe::conntrack,
                                       Probe::sysctl, Probe::buffers,   Probe::neighbours};
std::string_view to_string(Probe probe);

// How a probe measures, best first. `none`: the signal is not there on this kernel or with these rights.
enum class Rung { fentry, tracepoint, cgroup, netlink, procfs, none };
std::string_view to_string(Rung rung); // none: "unavailable"

// The limit that set a listener's `limit`, whatever the load. `unknown`: what its application asked for was not seen,
// and somaxconn is another now; it was that, or the somaxconn of the time when it began to listen.
enum class Binds { somaxconn, application, syn_backlog, unknown };
std::string_view to_string(Binds binds);

// What happened to an accept queue in the time that one snapshot covers: one interval for a tick; for a pressure event
// the time since the queue was last seen empty. This is what the controller decides on. No length: it was not looked
// at.
struct QueueWindow {
    Nanoseconds length{};
    std::uint32_t peak = 0;                // connections waiting at the fullest moment seen
    std::uint32_t floor = 0;               // at the emptiest moment seen
    std::optional<std::uint64_t> arrivals; // completed handshakes
    std::uint64_t accepted = 0;            // taken by the application; at least so many where arrivals are not seen
    std::uint64_t overflows = 0;           // lost because the queue was full
    std::uint64_t syn_dropped = 0;         // SYNs refused because the SYN queue was full
    std::optional<MonoTime> event;         // when the kernel raised the pressure event, if one is what this is about
};

// Who has a hand on a socket beside whoever it is of: a pod that holds it in the network namespace of another one; else
// process 1, as systemd does with a socket that it has opened for a unit (systemd.socket(5)).
struct OtherHolder {
    std::optional<Pod> pod; // nullopt: process 1
    std::string unit;       // of process 1; empty: it is in none

    bool operator==(const OtherHolder&) const = default;
};
std::string to_string(const OtherHolder& other); // "shop/web-0/nginx", "init.scope"

// One listening TCP socket.
struct Listener {
    NetnsId netns;
    std::uint64_t cookie = 0; // SO_COOKIE: never reused in a boot
    std::uint64_t inode = 0;  // of the socket, as in /proc/PID/fd
    Endpoint local;
    int pid = 0; // the lowest that holds it, process 1 last; 0: none found
    int fd = -1; // its descriptor there
    std::string command;
    bool is_held_by_init = false;     // process 1 holds it as well
    std::optional<Pod> pod;           // of the process that holds it, also in the node's own namespace
    std::string unit;                 // of systemd, that the process is in; empty: none, or it is a pod's
    std::optional<OtherHolder> other; // nullopt: none is known
    bool is_owner_unknown = false;    // nobody can say yet whether it is a pod's, or which one's

    std::uint32_t queue = 0;                // sk_ack_backlog, now
    std::uint32_t queue_peak = 0;           // the largest since the source began
    std::uint32_t limit = 0;                // sk_max_ack_backlog; the kernel lets limit + 1 wait
    std::optional<std::uint32_t> asked;     // the argument of listen()
    std::optional<std::uint32_t> somaxconn; // of its namespace, now
    Binds binds = Binds::somaxconn;
    std::uint64_t drops = 0;          // sk_drops, which includes other discards
    std::uint64_t overflows = 0;      // the part for a full accept queue
    bool overflows_estimated = false; // some of them may be another listener's of its namespace
    double overflows_per_second = 0;
    std::optional<std::uint64_t> arrivals;  // completed handshakes
    std::optional<std::uint32_t> syn_queue; // most handshakes under way at once that were seen in the last interval
    std::optional<std::uint32_t> fastopen_queue; // most requests that may wait which came with a SYN (TCP_FASTOPEN)
    bool refuses_syns = false;                   // tcp_syncookies is 0: when its SYN queue is full
    std::optional<std::string> flood;            // what speaks for a flood, as of the last tick; nullopt: nothing
    MonoTime read;                               // when `queue` and `limit` were read
    QueueWindow window;
};

// `binds` of what waits to be accepted alone: where syncookies are off, handshakes under way may have a smaller limit.
Binds accept_queue_binds(const Listener& listener);

// Whether so many handshakes that are under way at once can be clients', of which so many are completed in a second: a
// client that is there takes a round trip, or, where a packet is lost, a second more (RFC 6298), 3 s at the most. What
// nobody completes stays for a minute.
bool can_be_clients(std::uint64_t under_way, double completed_a_second);

// TCP sockets of one network namespace by state, whoever holds them, as ss(8) tells them apart.
struct TcpStates {
    std::uint64_t established = 0;
    std::uint64_t syn_sent = 0;
    std::uint64_t syn_recv = 0;
    std::uint64_t fin_wait1 = 0;
    std::uint64_t fin_wait2 = 0; // those that the kernel keeps as it does TIME_WAIT as well
    std::uint64_t time_wait = 0;
    std::uint64_t close_wait = 0;
    std::uint64_t last_ack = 0;
    std::uint64_t closing = 0;

    bool operator==(const TcpStates&) const = default;
};

// Who holds most connections of a network namespace whose other end has closed.
struct CloseWaitHolder {
    int pid = 0;
    std::string command;
    std::uint64_t held = 0; // descriptors of them

    bool operator==(const CloseWaitHolder&) const = default;
};

// TCP in one network namespace.
struct NetnsTcp {
    NetnsId netns;
    int pid = 0; // a process in it, by which it can be reached; 0: none found
    std::optional<Pod> pod;

    std::optional<std::uint32_t> somaxconn;
    std::optional<std::uint32_t> max_syn_backlog; // tcp_max_syn_backlog: of handshakes, where no cookies are sent
    std::uint64_t listen_overflows = 0;           // LINUX_MIB_LISTENOVERFLOWS
    std::uint64_t overflows_of_closed = 0;        // the part of it that no listener of now suffered
    std::uint64_t syn_dropped = 0;                // SYNs refused by a full SYN queue
    std::uint64_t other_drops = 0;                // of LINUX_MIB_LISTENDROPS, neither these nor overflows
    std::uint64_t cookies_sent = 0;               // LINUX_MIB_SYNCOOKIESSENT: no loss by itself
    std::uint64_t cookies_returned = 0;           // LINUX_MIB_SYNCOOKIESRECV: their clients are there
    std::optional<std::string> flood;             // what speaks for a SYN flood; nullopt: nothing
    std::uint64_t time_wait_sockets = 0;          // now
    std::optional<std::uint64_t> time_wait_limit; // tcp_max_tw_buckets
    std::uint64_t time_wait_entries = 0;          // LINUX_MIB_TIMEWAITED + LINUX_MIB_TIMEWAITKILLED
    double time_wait_entries_per_second = 0;
    std::uint64_t time_wait_overflows = 0;        // LINUX_MIB_TCPTIMEWAITOVERFLOW
    std::optional<std::uint64_t> ports_exhausted; // connects that failed for want of a local port
    std::string ports_exhausted_command;          // who suffered the last of them
    int ports_exhausted_pid = 0;
    MonoTime ports_exhausted_at; // when the last of them was
    std::optional<Pod>
        ports_exhausted_pod; // its own, also in the node's namespace, where it was still there at the tick
    std::optional<Endpoint> ports_exhausted_remote; // whom it wanted to reach
    std::optional<LocalPorts> local_ports;          // ip_local_port_range
    // The highest port below that range that a UDP socket of the namespace has; 0: none. nullopt: not known, as where
    // no connect() failed in the last interval.
    std::optional<std::uint16_t> udp_port_below;
    std::optional<std::uint32_t> tw_reuse;          // tcp_tw_reuse: 2 goes for loopback alone
    std::optional<std::uint32_t> tw_reuse_delay_ms; // tcp_tw_reuse_delay, since 6.14
    std::optional<std::uint64_t> fastopen;          // tcp_fastopen: its bits
    std::uint64_t fastopen_requests = 0; // LINUX_MIB_TCPFASTOPENCOOKIEREQD: SYNs that ask for a cookie, in vain as well
    std::uint64_t fastopen_opened = 0;   // LINUX_MIB_TCPFASTOPENPASSIVE: connections that came with their request
    std::uint64_t fastopen_failed = 0;   // of those that came so, LINUX_MIB_TCPFASTOPENPASSIVEFAIL and LISTENOVERFLOW
    // In the last interval.
    std::uint64_t window_fastopen_requests = 0;
    std::uint64_t window_fastopen_opened = 0;
    std::uint64_t window_fastopen_failed = 0;
    // In the last interval: connects that found no port in it and that had one (TCP_MIB_ACTIVEOPENS; nullopt: not
    // read), and sockets that entered TIME_WAIT.
    std::uint64_t window_ports_exhausted = 0;
    std::optional<std::uint64_t> window_connects;
    std::uint64_t window_time_wait_entries = 0;
    std::optional<std::uint64_t> segments_sent;          // TCP_MIB_OUTSEGS; nullopt: not read, as the next
    std::optional<std::uint64_t> segments_retransmitted; // TCP_MIB_RETRANSSEGS
    std::optional<double> retransmitted_percent;         // of all that were sent in the last interval; nullopt: none
    std::optional<TcpStates> states;                     // of some seconds ago; nullopt: nobody looks
    std::optional<std::uint64_t> listening;              // sockets in LISTEN, by the last census
    std::optional<CloseWaitHolder> close_wait_holder;    // by the last census; nullopt: none, or nobody looks
};

// A TCP connection that is held back: as it was at the last look.
struct HeldFlow {
    int pid = 0; // the lowest that holds it
    std::string command;
    Endpoint local;
    Endpoint remote;
    std::uint64_t limit_bytes = 0; // receiving: the widest window that its buffer lets it announce; sending: its buffer
    std::uint64_t bytes_per_second = 0;
    std::uint64_t round_trip_us = 0;       // the least, tcp_min_rtt()
    std::uint64_t widest_window_bytes = 0; // that its handshake lets it announce
};

// The same flows before and after their limit was raised: those that it had held back. Bytes a second.
struct RaisedFlows {
    std::uint64_t flows = 0;
    std::uint64_t before = 0;
    std::uint64_t since = 0;
    std::uint64_t held_again = 0;        // flows that fill the new limit as well
    std::uint64_t held_at_other_end = 0; // flows that the buffer of their other end, on this node, holds back now

    bool operator==(const RaisedFlows&) const = default;
};

// The flows of one network namespace that one kind of buffer holds back. All are as of the last look at each, which
// covers a fraction of a second or two of its round trips.
struct HeldBack {
    std::uint64_t flows = 0;              // by the largest value of the namespace's sysctl
    std::uint64_t bytes_per_second = 0;   // of these
    std::uint64_t most_in_round_trip = 0; // bytes that one of them moves in its least round trip
    std::uint64_t set_by_application = 0; // flows held back the same by a size that no sysctl changes (SO_RCVBUF)
    std::optional<HeldFlow> largest;      // of `flows`, the one with most_in_round_trip; nullopt: there is none
    std::optional<RaisedFlows> raised;    // of the last 10 s; nullopt: nothing was raised, or measured since
    // Of `set_by_application`, those whose size is exactly what net.core.rmem_max, or wmem_max, lets them have at most:
    // who asked for more got that. nullopt: not known, as between two ticks.
    std::optional<std::uint64_t> at_ceiling;
    std::optional<HeldFlow> largest_at_ceiling; // of these, as `largest`
};

// The buffers of TCP in one network namespace. Kernel's words: `max` is the last of a sysctl's three values, `default`
// the one in the middle.
struct TcpBuffers {
    NetnsId netns;
    int pid = 0; // as in NetnsTcp
    std::optional<Pod> pod;
    std::optional<std::uint64_t> rmem_default; // bytes
    std::optional<std::uint64_t> rmem_max;
    std::optional<std::uint64_t> wmem_default;
    std::optional<std::uint64_t> wmem_max;
    // Flows that are near a size which does not grow any more and move enough to fill it, looked at twice or more;
    // nullopt, as below: nobody looks.
    std::optional<std::uint64_t> looked_at;
    std::optional<std::uint64_t> left_out;     // descriptors of others like these, for which there was no room
    std::optional<std::uint64_t> window_scale; // flows at the widest window that their handshake allows
    std::optional<HeldBack> receiving;
    std::optional<HeldBack> sending;
    std::optional<std::string> congestion_control; // what a connection begins with; nullopt: not read
    // By losses: packets were lost, and had not waited. Here `set_by_application` have chosen their congestion control.
    std::optional<HeldBack> losing;
};

// A UDP socket that has dropped datagrams since the source began: within the last minute, or its buffer is ours.
struct UdpSocket {
    // Nothing is concluded from fewer: one finds a burst in its middle as easily as a queue that stands.
    static constexpr unsigned fewest_looks = 3;

    NetnsId netns;
    std::uint64_t cookie = 0; // as in Listener, as are the next
    std::uint64_t inode = 0;
    Endpoint local;
    int pid = 0;
    int fd = -1;
    std::string command;
    bool is_held_by_init = false;
    std::optional<Pod> pod;
    std::string unit;
    std::optional<OtherHolder> other;
    bool is_owner_unknown = false;
    std::uint64_t queue_bytes = 0;      // sk_rmem_alloc: what waits to be read, with what the kernel counts beside it
    std::uint64_t buffer_bytes = 0;     // sk_rcvbuf: what comes is dropped while more than this waits
    bool set_by_application = false;    // the size, by SO_RCVBUF
    MonoTime read;                      // when these were read
    std::uint64_t drops = 0;            // sk_drops, which includes broken checksums and filters
    std::uint64_t overflows = 0;        // the part for a full buffer: no more than the namespace counts
    std::uint64_t window_overflows = 0; // in the last interval, as the next two
    std::uint64_t window_received = 0;  // by all UDP sockets of its namespace
    std::uint64_t last_overflows = 0;   // in the last interval that had any, as the next
    std::uint64_t last_received = 0;    // as window_received
    std::uint64_t recent_overflows = 0; // since it began to drop, until three seconds after the last of them
    std::uint64_t most_dropped = 0;     // between two looks since it began to drop
    std::uint64_t looks = 0;            // the last eight at most: while it drops, and the two after that
    std::uint64_t looks_past_half = 0;  // that found more than half of the buffer in use
    std::uint64_t netns_overflows = 0;  // UDP_MIB_RCVBUFERRORS of its namespace, of IPv4 and IPv6
    std::uint64_t left_out = 0;         // descriptors of others like it in its namespace, for which there was no room

    // A burst finds its queue empty again; who reads too slowly, or not at all, leaves it full: no size helps that.
    // Between the two nothing is said.
    [[nodiscard]] bool has_bursts() const { return looks >= fewest_looks && 3 * looks_past_half <= looks; }
    [[nodiscard]] bool is_read_slowly() const { return looks >= fewest_looks && 3 * looks_past_half >= 2 * looks; }
};

// Datagrams of one address family that a network namespace puts together from fragments: where any have come. Memory as
// the kernel counts it, which is what the limit is compared with: two to three times the bytes of full packets.
struct Fragments {
    // A table that was full is this full when it is looked at next, unless its datagrams were completed meanwhile.
    static constexpr double near_limit = 0.75;
    // No datagram takes more of it: 64 KiB in packets of 1,500 bytes, each in half a page and a struct sk_buff.
    static constexpr std::uint64_t most_for_datagram = 128ULL * 1024;
    // Longer than fragments wait for the rest where nobody has changed that (IP_FRAG_TIME, 30 s; IPV6_FRAG_TIMEOUT, 60
    // s).
    static constexpr Nanoseconds recent = std::chrono::seconds(62);

    NetnsId netns;
    int pid = 0; // as in NetnsTcp
    std::optional<Pod> pod;
    Family family = Family::ipv4;
    std::uint64_t memory_bytes = 0;  // now (fqdir->mem)
    std::uint64_t fullest_bytes = 0; // at this look or the one before, whichever is more
    std::uint64_t lowest_bytes = 0;  // whichever is less
    std::uint64_t limit_bytes = 0;   // ipfrag_high_thresh, ip6frag_high_thresh
    std::uint64_t reassembled = 0;   // IPSTATS_MIB_REASMOKS: datagrams
    std::uint64_t timed_out = 0;     // IPSTATS_MIB_REASMTIMEOUT: datagrams of which not all fragments came
    std::uint64_t failed = 0;        // IPSTATS_MIB_REASMFAILS without these: fragments, for want of memory or malformed
    // In the last interval.
    std::uint64_t window_reassembled = 0;
    std::uint64_t window_timed_out = 0;
    std::uint64_t window_failed = 0;
    std::uint64_t window_arrived = 0; // IPSTATS_MIB_REASMREQDS: fragments, those that failed as well
    // In the last `recent`, or since it was first seen.
    std::uint64_t recent_reassembled = 0;
    std::uint64_t recent_timed_out = 0;

    // Whether what failed in the last interval met a full table.
    [[nodiscard]] bool was_near_limit() const {
        return limit_bytes > 0 && static_cast<double>(fullest_bytes) >= near_limit * static_cast<double>(limit_bytes);
    }
    // Whether who sends completes what he begins: some were put together, no more gave up than were, and those that
    // were in the last interval can have been what stood in the table all the time. Past the limit the kernel takes no
    // fragment at all, not even the last of a datagram (inet_frag_find): what was completed before the table was full
    // vouches for the rest.
    [[nodiscard]] bool is_completed() const {
        return recent_reassembled > 0 && recent_timed_out <= recent_reassembled &&
               window_reassembled * most_for_datagram >= lowest_bytes;
    }
};

// What a CPU's backlog lost in a window of a second or so. It is told when the next window has ended as well: whether
// the CPU works it off.
struct BacklogLoss {
    MonoTime began; // the window
    std::uint64_t packets = 0;
    double processed_per_second = 0; // in the same window
    std::uint64_t processed = 0;
    // Of the CPU's time, that all packets which came would have taken, the lost ones too: the most of the window before
    // it, of itself, and of the one after.
    double needed_percent = 0;
    std::uint64_t waiting = 0;  // most packets that were found in the backlog where one of these began or ended
    std::uint64_t squeezed = 0; // turns of the receive loop in the same window that its budget or time ended
    Nanoseconds taken{};        // of the CPU's time in the same window: interrupts, softirqs, and the hypervisor

    bool operator==(const BacklogLoss&) const = default;
};

// The softirq backlog of one CPU (/proc/net/softnet_stat).
struct SoftirqCpu {
    unsigned cpu = 0;
    std::uint64_t processed = 0;
    std::uint64_t dropped = 0;
    std::uint64_t flow_limited = 0; // of these, those of one flow that had more than its share of half a backlog
    std::uint64_t time_squeeze = 0;
    std::optional<std::uint64_t> backlog;      // packets waiting now; kernels before 5.10 do not tell
    std::uint64_t backlog_limit = 0;           // net.core.netdev_max_backlog
    std::optional<std::uint64_t> budget;       // net.core.netdev_budget, packets of one turn
    std::optional<std::uint64_t> budget_usecs; // net.core.netdev_budget_usecs, of one turn
    double packets_per_second = 0;             // processed, in the last window of a second or so
    std::optional<double> softirq_percent;     // of its time in that window: interrupts, softirqs, and the hypervisor
    std::optional<double> idle_percent;        // likewise: it had nothing to do
    // Of its time, that all packets which came in that window would have taken, the lost ones too.
    std::optional<double> needed_percent;
    std::uint64_t window_processed = 0; // in the last interval
    std::uint64_t window_lost = 0;      // in the last interval, because the backlog was full
    std::optional<BacklogLoss> lost;    // of the window before the last one, in the tick that ends that
};

struct CpuWork {
    unsigned cpu = 0;
    std::uint64_t lost = 0;       // packets, because its backlog was full
    std::uint64_t softirq_us = 0; // of its time

    bool operator==(const CpuWork&) const = default;
};

// In the last interval.
CpuWork work_of(const SoftirqCpu& cpu, Nanoseconds interval);

// A CPU that has no time left for packets, since it was so at each look: what all CPUs did in that time, of which the
// last ten seconds count.
struct HotCpu {
    // Of its time by softirqs, or what all packets that came would take: it is known to a few percent (BacklogLoss).
    static constexpr double least_percent = 90;

    unsigned cpu = 0;
    Nanoseconds length{};
    std::uint64_t processed = 0; // packets
    std::uint64_t lost = 0;      // because a backlog was full
    std::uint64_t softirq_us = 0;
    std::vector<CpuWork> each; // of these, by each CPU
};

// In a second.
struct ReceiveRate {
    double packets = 0;
    double bytes = 0;
};

// A network device through which a hot CPU may get its packets, or whose steering was ours at any time: nobody looks
// while no CPU is hot. All of its first receive queue is below /sys/class/net/DEVICE/queues/rx-0.
struct SteeredDevice {
    NetnsId netns;
    int pid = 0; // as in NetnsTcp
    std::optional<Pod> pod;
    std::string name;
    std::uint32_t ifindex = 0;
    double packets_per_second = 0;      // received since the look before; 0: there was none
    double mean_packets_per_second = 0; // in the last ten seconds or so of looks; 0: too little is known
    double bytes_per_second = 0;        // likewise, as is the next
    double mean_bytes_per_second = 0;
    std::uint64_t queues = 0;              // receive queues
    bool is_hardware = false;              // packets enter the node by it; a bridge, VLAN or veth passes them on
    bool is_read_only = false;             // its namespace's sysfs: a container runtime mounts it so
    bool is_denied = false;                // its rps_cpus is another user's file: that of a user namespace's root
    bool has_more_cpus = false;            // there is one past the first 64 in rps_cpus
    std::optional<std::uint64_t> near;     // CPUs of its NUMA node, of the first 64; nullopt: it has none
    std::optional<std::uint64_t> rps_cpus; // as set; nullopt: not read in this tick, or has_more_cpus
    MonoTime read;
};

// An interrupt by which a network device of the node hands over what it received, that a hot CPU was given many times,
// or that was ours at any time: nobody looks while no CPU is hot.
struct DeviceInterrupt {
    NetnsId netns; // the init network namespace
    int pid = 0;   // as in NetnsTcp
    std::string device;
    std::uint32_t ifindex = 0;
    double packets_per_second = 0; // that the device received, as in SteeredDevice, as are the next
    double mean_packets_per_second = 0;
    double bytes_per_second = 0;
    double mean_bytes_per_second = 0;
    std::uint32_t irq = 0;             // its number
    std::string name;                  // as its driver has it: "virtio0-input.0"
    double per_second = 0;             // taken by the hot CPU since the look before; 0: there was none
    bool is_fixed = false;             // the kernel lets nobody set its CPUs (managed interrupts)
    bool has_more_cpus = false;        // there is one past the first 64 in `cpus`
    std::optional<std::uint64_t> near; // as in SteeredDevice
    std::optional<unsigned> cpu;       // it is delivered to; nullopt: not known, or several
    std::optional<std::uint64_t> cpus; // smp_affinity; nullopt: not read in this tick, or has_more_cpus
    MonoTime read;
};

// What a neighbour table refused, and what had been asked of it by then. It is told once the neighbours that were asked
// for have had their time to answer.
struct NeighbourLoss {
    MonoTime began;               // the first of these packets came after it
    Nanoseconds length{};         // they came within
    std::uint64_t packets = 0;    // lost because no entry could be made
    std::uint64_t made = 0;       // entries, since a while before it began
    std::uint64_t unanswered = 0; // resolutions that failed, in the same time

    bool operator==(const NeighbourLoss&) const = default;
};

// The neighbour table of one address family (ARP, NDISC), one for the node: all network namespaces fill it, and it has
// one set of limits (net/core/neighbour.c, neigh_alloc).
struct NeighbourTable {
    Family family = Family::ipv4;
    std::uint64_t entries = 0;               // permanent ones too, which no limit is for
    std::optional<std::uint64_t> gc_thresh1; // fewer are not collected
    std::optional<std::uint64_t> gc_thresh2; // of more, those that were not confirmed within 5 s make room
    std::optional<std::uint64_t> gc_thresh3; // there are no more
    std::uint64_t refused = 0;               // table_fulls: packets for which no entry could be made
    std::uint64_t made = 0;                  // allocs
    std::uint64_t unanswered = 0;            // res_failed
    std::uint64_t window_refused = 0;        // in the last interval
    std::uint64_t window_made = 0;           // in the last interval
    std::optional<NeighbourLoss> lost;       // in the tick by which it is known
};

// The conntrack table as one network namespace fills it. The limit is the node's, compared with each namespace's own
// count (net/netfilter/nf_conntrack_core.c, __nf_conntrack_alloc).
// Entries of one TCP state in a namespace's conntrack table, as a sample of it tells. nullopt: not known.
struct StateEntries {
    std::uint64_t entries = 0;         // estimate, in the whole table
    std::optional<std::uint64_t> idle; // of these, likewise: without a packet for `needed_seconds` or longer
    // Without a packet for so long an entry ends: net.netfilter.nf_conntrack_tcp_timeout_established and so on.
    std::optional<std::uint64_t> timeout_seconds;
    std::optional<std::uint64_t> needed_seconds; // the least that live connections which are idle can do with
};

// Who fills a namespace's conntrack table: estimates, from a sample of its entries (ctnetlink: CTA_PROTOINFO_TCP_STATE,
// CTA_TIMEOUT).
struct ConntrackStates {
    MonoTime read;
    std::uint64_t looked_at = 0; // entries of the sample
    std::uint64_t tcp = 0;       // estimates, in the whole table
    std::uint64_t udp = 0;
    std::uint64_t other = 0;
    StateEntries established;
    StateEntries time_wait;
    StateEntries close_wait;
};

struct Conntrack {
    // A table that was full is at least this full when it is looked at next: an entry lives for seconds at the least.
    static constexpr double near_limit = 0.75;

    NetnsId netns;
    std::optional<Pod> pod;
    std::uint64_t entries = 0;
    std::uint64_t limit = 0;       // 0: none (__nf_conntrack_alloc)
    std::uint64_t buckets = 0;     // 0: not read
    double entries_per_second = 0; // net growth, negative while it shrinks
    std::optional<double> inserts_per_second;
    // Each of these is one cause. The kernel's `drop` counts clashes as well, `insert_failed` all but the first two.
    std::uint64_t drops = 0;               // packets refused because the table was full
    std::uint64_t early_drops = 0;         // connections evicted from the full table, to make room for others
    std::uint64_t insert_failed = 0;       // as the kernel has it: the three below
    std::uint64_t nat_exhausted = 0;       // packets lost because NAT found no free port
    std::uint64_t clashes = 0;             // packets lost because their connection was in the table already
    std::uint64_t chain_too_long = 0;      // packets lost because a hash chain was too long
    std::optional<double> full_in_seconds; // nullopt: not filling
    // In the last interval. Recordings made before had evictions in window_drops.
    std::uint64_t window_drops = 0;
    std::uint64_t window_evicted = 0;
    std::uint64_t window_nat_exhausted = 0;
    std::uint64_t window_clashes = 0;
    std::uint64_t window_chain_too_long = 0;
    std::optional<std::string> clash;       // what packets of the last minute clashed with; nullopt: none did
    std::optional<double> unanswered_ratio; // of a sample of the entries; nullopt: none was taken, there was no need
    std::optional<std::string> unanswered;  // what most of these are: "UDP to port 8472 (VXLAN)"
    bool seen_once = false;                 // one sample alone: whether the unanswered ones grow is not known yet
    std::optional<std::string> flood;       // what speaks for one; nullopt: nothing
    std::optional<ConntrackStates> states;  // of the last sample; nullopt: none was taken, there was no need

    // Lost to the limit in the last interval.
    [[nodiscard]] std::uint64_t window_lost() const { return window_drops + window_evicted; }
    [[nodiscard]] bool is_unlimited() const { return limit == 0; }
};

// The memory that all sockets of one protocol share, in all network namespaces (include/net/sock.h,
// sk_prot_mem_limits).
enum class MemoryPool { tcp, udp };
std::string_view to_string(MemoryPool pool);

// What the sockets of one network namespace that processes hold have of a pool.
struct MemoryHolder {
    NetnsId netns;
    int pid = 0; // as in NetnsTcp
    std::optional<Pod> pod;
    std::uint64_t bytes = 0;
    std::uint64_t still_bytes = 0; // of these, by sockets that have not moved for 3 s: nobody sends, reads or drains
    std::uint64_t close_wait_bytes = 0; // of these, by TCP sockets whose other end has closed
};

// One pool. Read at ticks alone.
struct SocketMemory {
    // A pool that was full is this full when it is looked at next: what is refused is given back, and each CPU keeps up
    // to 1 MiB aside (SK_MEMORY_PCPU_RESERVE).
    static constexpr double near_limit = 0.75;
    [[nodiscard]] static bool is_near(std::uint64_t bytes, std::uint64_t limit) {
        return limit > 0 && static_cast<double>(bytes) >= near_limit * static_cast<double>(limit);
    }

    MemoryPool pool = MemoryPool::tcp;
    std::uint64_t page_bytes = 0;    // the unit of its sysctls
    std::uint64_t bytes = 0;         // in use now
    std::uint64_t fullest_bytes = 0; // at this look or the one before, whichever is more
    std::uint64_t low_bytes = 0;     // the three numbers of tcp_mem or udp_mem
    std::uint64_t pressure_bytes = 0;
    std::uint64_t high_bytes = 0;
    std::optional<std::uint64_t> pressures; // LINUX_MIB_TCPMEMORYPRESSURES: times that TCP came under pressure
    // Packets and connections lost for want of it; nullopt: not counted here. UDP: UDP_MIB_MEMERRORS. TCP:
    // LINUX_MIB_TCPRCVQDROP and LINUX_MIB_TCPABORTONMEMORY, of intervals that found it near its limit, for they count a
    // full buffer and too many orphans as well.
    std::optional<std::uint64_t> lost;
    // In the last interval.
    std::uint64_t window_pressures = 0;
    std::uint64_t window_lost = 0;
    Nanoseconds near_for{}; // so long it has been near its limit at each look
    // Of sockets that processes hold; nullopt: nobody looks, as while half of the limit is free.
    std::optional<std::uint64_t> held_bytes;
    std::optional<std::uint64_t> still_bytes; // as in MemoryHolder
    std::optional<MemoryHolder> largest;      // by bytes

    // From here on somebody suffers. TCP shrinks all buffers from `pressure` on, until less than `low` is in use. UDP,
    // which knows no pressure, takes nothing beyond `low` for a socket in which as much as udp_rmem_min waits
    // (net/core/sock.c, __sk_mem_raise_allocated).
    [[nodiscard]] std::uint64_t limit_bytes() const { return pool == MemoryPool::tcp ? pressure_bytes : low_bytes; }
    [[nodiscard]] bool is_under_pressure() const { return bytes >= limit_bytes(); }
    [[nodiscard]] bool was_near_limit() const { return is_near(fullest_bytes, limit_bytes()); }
    // Sockets that no process holds: closed before all was sent, the kernel's own, on their way between processes; and
    // what each has that holds less than a page.
    [[nodiscard]] std::optional<std::uint64_t> unheld_bytes() const {
        return held_bytes ? std::optional(bytes - std::min(bytes, *held_bytes)) : std::nullopt;
    }
};

// TCP's memory: one pool for all network namespaces (net/ipv4/tcp.c, sysctl_tcp_mem).
struct TcpMemory {
    std::uint64_t bytes = 0;          // in use
    std::uint64_t pressure_bytes = 0; // from here on the kernel shrinks everyone's buffers
    std::uint64_t high_bytes = 0;     // from here on it drops
};

// UDP's, as well one pool (net/ipv4/udp.c, sysctl_udp_mem).
struct UdpMemory {
    std::uint64_t bytes = 0;     // in use
    std::uint64_t low_bytes = 0; // from here on it drops, as SocketMemory::limit_bytes() has it
};

// How large the buffers of sockets may be asked for, and begin, on all of the node: net.core.rmem_max and so on
// (net/core/sysctl_net_core.c). Bytes; nullopt: not read. Ticks alone have them.
struct SocketSizes {
    std::optional<std::uint64_t> rmem_max;     // most that SO_RCVBUF gets; the buffer is twice that
    std::optional<std::uint64_t> wmem_max;     // the same of SO_SNDBUF
    std::optional<std::uint64_t> rmem_default; // the receive buffer that UDP and others but TCP begin with
    std::optional<std::uint64_t> wmem_default;

    bool operator==(const SocketSizes&) const = default;
};

// What must not suffer from a change. Read at ticks alone: in the snapshot of a burst they are as old as the last one.
struct Guards {
    std::optional<double> memory_pressure; // percent of the last 10 s in which some task waited for memory (PSI)
    std::optional<std::uint64_t> memory_available_bytes; // without swapping: MemAvailable
    std::optional<TcpMemory> tcp_memory;
    std::optional<UdpMemory> udp_memory;
    std::optional<double> softirq; // percent of all CPUs' time, mean of about the last 10 s
};

// What one more takes of this kernel's memory. nullopt: not to be had, the catalog of tunables has a constant.
struct UnitBytes {
    std::optional<std::uint64_t> conntrack_entry;
    std::optional<std::uint64_t> queued_connection; // that waits for accept(), with the first segment of its request
    std::optional<std::uint64_t> full_connection;   // the same with a full receive buffer
    std::optional<std::uint64_t> page;
};

// Somebody other than this service was about to write a sysctl. The kernel may have refused it: only a value that is
// read says what became of it.
struct SysctlWrite {
    MonoTime time;
    NetnsId netns;                      // of the thread that wrote
    std::string sysctl;                 // below /proc/sys: "net/core/somaxconn"
    std::optional<std::uint64_t> value; // as the kernel reads it; nullopt: no number that it takes
    std::vector<std::uint64_t> more;    // the numbers after it, for a sysctl of several
    int pid = 0;
    std::string command;
    std::string text; // what was written, one blank between words

    // The number at this place, from 0.
    [[nodiscard]] std::optional<std::uint64_t> number(unsigned place) const {
        if (place == 0) return value;
        return place <= more.size() ? std::optional(more[place - 1]) : std::nullopt;
    }

    bool operator==(const SysctlWrite&) const = default;
};

// Who says how a pod is called, best last: only the runtime knows its labels and annotations.
enum class PodSource {
    cgroup,  // the cgroup's path: its UID, and its class of service
    logs,    // the names in /var/log/pods: namespace and name as well
    runtime, // CRI
};
std::string_view to_string(PodSource source); // "cgroup", "logs", "cri"

// What Kubernetes evicts last, last.
enum class QosClass { best_effort, burstable, guaranteed };
std::string_view to_string(QosClass qos); // as Kubernetes spells it: "BestEffort"

// What is known of a pod that runs on this node, of all its containers.
struct PodFacts {
    Pod pod; // container is empty
    PodSource source = PodSource::cgroup;
    std::optional<QosClass> qos;
    // As they were when its sandbox was made: the runtime is told of no later change. Empty unless `source` is runtime.
    std::map<std::string, std::string> labels;
    std::map<std::string, std::string> annotations;
    bool is_incomplete = false; // there are more labels or annotations than are kept

    bool operator==(const PodFacts&) const = default;
};

// Whose a network namespace is. The files that it is bound to are named by `ip netns`, a CNI plugin or a container
// runtime. A policy knows the namespace by all of these.
struct NetnsNames {
    NetnsId netns;
    std::vector<std::string> bound; // those of `ip netns` first; empty: it is bound to none, or is_name_unknown
    std::optional<Pod> pod;         // container is empty; nullopt: it is no pod's, as the node's own is none's
    std::string unit;               // of systemd, that its processes are in; empty: none, or it is a pod's
    bool is_owner_unknown = false;  // nobody can say yet whether it is a pod's, or which one's
    bool is_name_unknown = false;   // the mount table, which says what it is bound to, was not read
    // The uid, as the node counts, that made the user namespace that it is in. nullopt: it is in the node's own, or
    // that is not known.
    std::optional<std::uint32_t> user_ns_owner;
    bool is_user_ns_unknown = false; // it is too new: nothing was read of it yet

    // Whether somebody made it in a user namespace of his own: what a runtime made is bound to a file, where only root
    // binds.
    [[nodiscard]] bool is_made_by_user() const { return user_ns_owner && bound.empty(); }

    bool operator==(const NetnsNames&) const = default;
};

// Whether two values of a sysctl are one, each with one blank between its words: by numbers where both are, for the
// kernel may write 00000001.
bool is_same_setting(std::string_view a, std::string_view b);

// A sysctl that the policy expects to have a value, as it was read in the host's network namespace.
struct ExpectedSysctl {
    std::string name;                 // in the policy: "net.ipv4.ip_forward"
    std::string sysctl;               // below /proc/sys: "net/ipv4/ip_forward"
    std::string expected;             // one blank between words, as in the next
    std::optional<std::string> found; // nullopt: not read
    bool absent = false;              // this node has no such sysctl
    std::string why_not;              // it was not read, or is not there: "br_netfilter is not loaded"

    [[nodiscard]] bool is_met() const;

    bool operator==(const ExpectedSysctl&) const = default;
};

// One that is not met, and what is known of why.
struct Unexpected {
    std::string name;
    std::string expected;
    std::optional<std::string> found; // nullopt: not there, or not read
    std::string why;

    bool operator==(const Unexpected&) const = default;
};

// Those whom the policy leaves less than spec, for one reason.
struct Restraint {
    std::string by;                 // "held by policy.yaml:12"
    std::string mode;               // what is left of spec's
    std::uint64_t count = 0;        // of pods, units and network namespaces
    std::vector<std::string> names; // of the first of them

    bool operator==(const Restraint&) const = default;
};

// A bpftune-k8s of the same kernel beside this one, with a state directory of its own.
struct OtherService {
    int pid = 0; // in its own pid namespace
    std::string state_dir;

    bool operator==(const OtherService&) const = default;
};

using Sources = std::array<Rung, all_probes.size()>; // by Probe
constexpr Sources all_unavailable() {
    Sources sources{};
    sources.fill(Rung::none);
    return sources;
}

struct Snapshot {
    enum class Cause {
        tick,     // whole: what is not in it is gone
        pressure, // only what the event is about
    };

    Cause cause = Cause::tick;
    Now time;
    Nanoseconds interval{}; // since the last tick
    std::string node;
    NetnsId host;                   // the init network namespace, where the node's own limits are written
    std::uint64_t memory_bytes = 0; // of the node; 0: unknown
    Guards guards;
    UnitBytes unit_bytes;
    SocketSizes socket_sizes;
    // What a network namespace may choose: the host's tcp_allowed_congestion_control. nullopt: not read; ticks alone.
    std::optional<std::string> allowed_congestion_control;
    Sources sources = all_unavailable();
    std::uint64_t lost_events = 0;     // that BPF could not pass on
    std::uint64_t withheld_events = 0; // that were not passed on, so that nobody floods this service with them

    std::vector<Listener> listeners;
    std::vector<NetnsTcp> tcp;
    std::vector<TcpBuffers> buffers;
    std::vector<UdpSocket> udp;              // in the order of their namespaces and cookies
    std::vector<Fragments> fragments;        // in the order of their namespaces, IPv4 first
    std::vector<SocketMemory> socket_memory; // TCP's first; at ticks
    std::vector<SoftirqCpu> softirq;
    std::optional<HotCpu> hot_cpu;           // nullopt: none, or there are other busy ones alone
    std::vector<SteeredDevice> steered;      // in the order of their namespaces and indices; at ticks
    std::vector<DeviceInterrupt> interrupts; // in the order of their devices' indices and numbers; at ticks
    std::optional<bool> irqbalance;          // whether it runs; nullopt: not known, or there are no interrupts
    std::uint64_t isolated_cpus = 0;         // of the first 64, those that the kernel names in no rps_cpus
    std::vector<Conntrack> conntrack;
    std::vector<NeighbourTable> neighbours;
    std::vector<SysctlWrite> sysctl_writes; // recent ones, oldest first
    std::vector<NetnsNames>
        netns_names;            // in the order of NetnsId; one that is not in it: nothing is known of its names
    bool may_have_pods = false; // this is a node with pods: whom nobody knows yet may be one, and ask to be left alone
    std::vector<PodFacts> pods; // in the order of their UIDs; those that some row or name is about
    std::vector<ExpectedSysctl> expected; // in the order of the policy; at ticks

    [[nodiscard]] const NetnsNames* names_of(const NetnsId& netns) const; // nullptr: nothing is known of its names
    // nullptr: it has none, or none is known.
    [[nodiscard]] const std::string* netns_name(const NetnsId& netns) const;
    [[nodiscard]] const PodFacts* facts_of(const Pod& pod) const; // nullptr: none are known

    [[nodiscard]] Rung source(Probe probe) const { return sources[static_cast<std::size_t>(probe)]; }
};

} // namespace bpftune

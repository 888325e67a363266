// SPDX-License-Identifier: Apache-2.0
// The members of every struct that a recording holds, once, for writing and reading alike.
//
// A member that is missing in its list does not compile ("only 29 names provided for structured binding, while
// 'Listener' decomposes into 30 elements"): add it here, at the same place. Recordings made before read as its default.
// An enumerator that is missing does not compile either ("enumeration value not handled in switch").
#pragma once

#include <array>
#include <string_view>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "recording/recording.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::recording {

// each(visit, rows...): visit("member", rows.member...) for each member, in the order of the list.
template <class T> struct Fields;

// name(value), and all values there are.
template <class T> struct Names;

// What a macro does for each of up to 80 names.
#define RECORDED_AGAIN() RECORDED_EACH_
#define RECORDED_PARENTHESES ()
#define RECORDED_EACH_(what, first, ...) what(first) __VA_OPT__(RECORDED_AGAIN RECORDED_PARENTHESES(what, __VA_ARGS__))
#define RECORDED_SCAN(...) RECORDED_SCAN_A(RECORDED_SCAN_A(RECORDED_SCAN_A(__VA_ARGS__)))
#define RECORDED_SCAN_A(...) RECORDED_SCAN_B(RECORDED_SCAN_B(RECORDED_SCAN_B(__VA_ARGS__)))
#define RECORDED_SCAN_B(...) RECORDED_SCAN_C(RECORDED_SCAN_C(RECORDED_SCAN_C(__VA_ARGS__)))
#define RECORDED_SCAN_C(...) RECORDED_SCAN_D(RECORDED_SCAN_D(RECORDED_SCAN_D(__VA_ARGS__)))
#define RECORDED_SCAN_D(...) __VA_ARGS__
#define RECORDED_EACH(what, ...) RECORDED_SCAN(RECORDED_EACH_(what, __VA_ARGS__))

#define RECORDED_VISIT(member) visit_(std::string_view(#member), rows_.member...);
#define RECORDED(Type, ...)                                                                                            \
    template <> struct Fields<Type> {                                                                                  \
        using Row = Type;                                                                                              \
        static void all_are_listed(Row& row_) { [[maybe_unused]] auto& [__VA_ARGS__] = row_; }                         \
        template <class Visit, class... Rows> static void each(Visit&& visit_, Rows&... rows_) {                       \
            RECORDED_EACH(RECORDED_VISIT, __VA_ARGS__)                                                                 \
        }                                                                                                              \
    }

#define RECORDED_CASE(value)                                                                                           \
    case Enum::value: return #value;
#define RECORDED_VALUE(value) Enum::value,
#define RECORDED_NAMES(Type, ...)                                                                                      \
    template <> struct Names<Type> {                                                                                   \
        using Enum = Type;                                                                                             \
        static constexpr std::string_view name(Enum value) {                                                           \
            switch (value) { RECORDED_EACH(RECORDED_CASE, __VA_ARGS__) }                                               \
            return {};                                                                                                 \
        }                                                                                                              \
        static constexpr std::array all{RECORDED_EACH(RECORDED_VALUE, __VA_ARGS__)};                                   \
    }

RECORDED(NetnsId, cookie, inode);
RECORDED(Endpoint, address, port);
RECORDED(Pod, ns, name, container, uid);
RECORDED(Now, mono, wall);

RECORDED(QueueWindow, length, peak, floor, arrivals, accepted, overflows, syn_dropped, event);
RECORDED(OtherHolder, pod, unit);
RECORDED(Listener, netns, cookie, inode, local, pid, fd, command, is_held_by_init, pod, unit, other, is_owner_unknown,
         queue, queue_peak, limit, asked, somaxconn, binds, drops, overflows, overflows_estimated, overflows_per_second,
         arrivals, syn_queue, fastopen_queue, refuses_syns, flood, read, window);
RECORDED(LocalPorts, first, last);
RECORDED(TcpStates, established, syn_sent, syn_recv, fin_wait1, fin_wait2, time_wait, close_wait, last_ack, closing);
RECORDED(CloseWaitHolder, pid, command, held);
RECORDED(NetnsTcp, netns, pid, pod, somaxconn, max_syn_backlog, listen_overflows, overflows_of_closed, syn_dropped,
         other_drops, cookies_sent, cookies_returned, flood, time_wait_sockets, time_wait_limit, time_wait_entries,
         time_wait_entries_per_second, time_wait_overflows, ports_exhausted, ports_exhausted_command,
         ports_exhausted_pid, ports_exhausted_at, ports_exhausted_pod, ports_exhausted_remote, local_ports,
         udp_port_below, tw_reuse, tw_reuse_delay_ms, fastopen, fastopen_requests, fastopen_opened, fastopen_failed,
         window_fastopen_requests, window_fastopen_opened, window_fastopen_failed, window_ports_exhausted,
         window_connects, window_time_wait_entries, segments_sent, segments_retransmitted, retransmitted_percent,
         states, listening, close_wait_holder);
RECORDED(HeldFlow, pid, command, local, remote, limit_bytes, bytes_per_second, round_trip_us, widest_window_bytes);
RECORDED(RaisedFlows, flows, before, since, held_again, held_at_other_end);
RECORDED(HeldBack, flows, bytes_per_second, most_in_round_trip, set_by_application, largest, raised, at_ceiling,
         largest_at_ceiling);
RECORDED(TcpBuffers, netns, pid, pod, rmem_default, rmem_max, wmem_default, wmem_max, looked_at, left_out, window_scale,
         receiving, sending, congestion_control, losing);
RECORDED(UdpSocket, netns, cookie, inode, local, pid, fd, command, is_held_by_init, pod, unit, other, is_owner_unknown,
         queue_bytes, buffer_bytes, set_by_application, read, drops, overflows, window_overflows, window_received,
         last_overflows, last_received, recent_overflows, most_dropped, looks, looks_past_half, netns_overflows,
         left_out);
RECORDED(Fragments, netns, pid, pod, family, memory_bytes, fullest_bytes, lowest_bytes, limit_bytes, reassembled,
         timed_out, failed, window_reassembled, window_timed_out, window_failed, window_arrived, recent_reassembled,
         recent_timed_out);
RECORDED(BacklogLoss, began, packets, processed_per_second, processed, needed_percent, waiting, squeezed, taken);
RECORDED(SoftirqCpu, cpu, processed, dropped, flow_limited, time_squeeze, backlog, backlog_limit, budget, budget_usecs,
         packets_per_second, softirq_percent, idle_percent, needed_percent, window_processed, window_lost, lost);
RECORDED(CpuWork, cpu, lost, softirq_us);
RECORDED(HotCpu, cpu, length, processed, lost, softirq_us, each);
RECORDED(SteeredDevice, netns, pid, pod, name, ifindex, packets_per_second, mean_packets_per_second, bytes_per_second,
         mean_bytes_per_second, queues, is_hardware, is_read_only, is_denied, has_more_cpus, near, rps_cpus, read);
RECORDED(DeviceInterrupt, netns, pid, device, ifindex, packets_per_second, mean_packets_per_second, bytes_per_second,
         mean_bytes_per_second, irq, name, per_second, is_fixed, has_more_cpus, near, cpu, cpus, read);
RECORDED(StateEntries, entries, idle, timeout_seconds, needed_seconds);
RECORDED(ConntrackStates, read, looked_at, tcp, udp, other, established, time_wait, close_wait);
RECORDED(Conntrack, netns, pod, entries, limit, buckets, entries_per_second, inserts_per_second, drops, early_drops,
         insert_failed, nat_exhausted, clashes, chain_too_long, full_in_seconds, window_drops, window_evicted,
         window_nat_exhausted, window_clashes, window_chain_too_long, clash, unanswered_ratio, unanswered, seen_once,
         flood, states);
RECORDED(NeighbourLoss, began, length, packets, made, unanswered);
RECORDED(NeighbourTable, family, entries, gc_thresh1, gc_thresh2, gc_thresh3, refused, made, unanswered, window_refused,
         window_made, lost);
RECORDED(SysctlWrite, time, netns, sysctl, value, more, pid, command, text);
RECORDED(ExpectedSysctl, name, sysctl, expected, found, absent, why_not);
RECORDED(NetnsNames, netns, bound, pod, unit, is_owner_unknown, is_name_unknown, user_ns_owner, is_user_ns_unknown);
RECORDED(PodFacts, pod, source, qos, labels, annotations, is_incomplete);
RECORDED(MemoryHolder, netns, pid, pod, bytes, still_bytes, close_wait_bytes);
RECORDED(SocketMemory, pool, page_bytes, bytes, fullest_bytes, low_bytes, pressure_bytes, high_bytes, pressures, lost,
         window_pressures, window_lost, near_for, held_bytes, still_bytes, largest);
RECORDED(TcpMemory, bytes, pressure_bytes, high_bytes);
RECORDED(UdpMemory, bytes, low_bytes);
RECORDED(Guards, memory_pressure, memory_available_bytes, tcp_memory, udp_memory, softirq);
RECORDED(UnitBytes, conntrack_entry, queued_connection, full_connection, page);
RECORDED(SocketSizes, rmem_max, wmem_max, rmem_default, wmem_default);
RECORDED(Snapshot, cause, time, interval, node, host, memory_bytes, guards, unit_bytes, socket_sizes,
         allowed_congestion_control, sources, lost_events, withheld_events, listeners, tcp, buffers, udp, softirq,
         hot_cpu, steered, isolated_cpus, interrupts, irqbalance, conntrack, neighbours, fragments, socket_memory,
         sysctl_writes, netns_names, may_have_pods, pods, expected);

RECORDED(ListenerRef, cookie, inode, local, pid, fd);
RECORDED(QueueRef, device, ifindex, queue);
RECORDED(Scope, netns, netns_pid, listener, pod, queue);
RECORDED(ObjectKey, tunable, netns, listener_cookie);
RECORDED(Evidence, name, value);
RECORDED(Decision, act, tunable, scope, from, to, why, evidence, event);
RECORDED(Outcome, kind, value, error, is_tried);

RECORDED(controller::Calm, since, used, wanted);
RECORDED(controller::Fewer, since, most);
RECORDED(controller::Undo, value, why);
RECORDED(controller::Tenant, account, name);
RECORDED(controller::Held, scope, tenant, original, current, since, written, raised, raises, expected, used, calm,
         fewer, undo, untested);
RECORDED(controller::Said, why_kind, to, when);
RECORDED(controller::Queue, in_burst, raised, demand, sized, stuck, slow, refuses_clients);
RECORDED(controller::TrialKey, object, minimum, tenant);
RECORDED(controller::Measured, losses, demand, use, lost_in_flood, length, bytes, softirq_us, cpus);
RECORDED(controller::Behind, waited, served_per_second);
RECORDED(controller::Trial, cause, since, last_raise, fitted, is_fitted_known, before, after, raised, shows_after,
         filled, undecided, behind_since, behind, guards, values, verdict);
RECORDED(controller::BackOff, roll_backs, until);
RECORDED(controller::Flood, since, last_seen, limit, once, raised, evidence);
// Nothing of it.
template <> struct Fields<controller::Spare> {
    using Row = controller::Spare;
    template <class Visit, class... Rows> static void each(Visit&& /*visit*/, Rows&... /*rows*/) {}
};
RECORDED(controller::State, held, trials, back_offs, floods, changes, reasserts, said, said_before, findings,
         retry_after, roll_back_after, failures, queues, seen, yielded, spare);

RECORDED(Origin, file, lines);
RECORDED(Header, schema, version, node, boot, time, policy, origin, state);
RECORDED(Settled, decision, outcome, now);
RECORDED(Step, now, decisions, settled);

template <> struct Names<TunableId> {
    static std::string_view name(TunableId id) { return tunables::row(id).key; }
};

RECORDED_NAMES(Rung, fentry, tracepoint, cgroup, netlink, procfs, none);
RECORDED_NAMES(Family, ipv4, ipv6);
RECORDED_NAMES(PodSource, cgroup, logs, runtime);
RECORDED_NAMES(QosClass, best_effort, burstable, guaranteed);
RECORDED_NAMES(MemoryPool, tcp, udp);
RECORDED_NAMES(Binds, somaxconn, application, syn_backlog, unknown);
RECORDED_NAMES(Snapshot::Cause, tick, pressure);
RECORDED_NAMES(Decision::Act, write, recommend, advise, keep, roll_back, give_back, reassert, yield, forget, release);
RECORDED_NAMES(Outcome::Kind, written, conflict, gone, failed);
RECORDED_NAMES(controller::Cause, minimum, forecast, loss);

} // namespace bpftune::recording

// SPDX-License-Identifier: Apache-2.0
// The BPF objects of the node. Each is attached on its own, so that one that is refused costs only itself.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include <bpf/libbpf.h>

#include "drops_tracepoint.skel.h"
#include "flows_iter.skel.h"
#include "listeners_iter.skel.h"
#include "namespaces_iter.skel.h"
#include "nudge_iter.skel.h"
#include "sockets_iter.skel.h"
#include "sysctl_cgroup.skel.h"
#include "tcp_state_tracepoint.skel.h"
#include "udp_iter.skel.h"

#include "probes/conntrack_fentry.hpp"
#include "probes/conntrack_iter.hpp"
#include "probes/decode.hpp"
#include "probes/listen_fentry.hpp"
#include "probes/mibs.hpp"
#include "probes/object.hpp"
#include "probes/probes.hpp"
#include "sys/fd.hpp"

namespace bpftune::probes {

struct FreeRing {
    void operator()(ring_buffer* ring) const { ring_buffer__free(ring); }
};

class Programs {
public:
    using Handler = std::function<void(const Event&)>;

    explicit Programs(const Options& options) : options_(options) {}
    Programs(const Programs&) = delete;
    Programs& operator=(const Programs&) = delete;
    ~Programs() = default;

    // The value says what those programs would have seen that were refused.
    Result<std::string> attach_listen_fentry();    // with its census
    Result<std::string> attach_conntrack_fentry(); // a second call says what the first one said

    Result<> attach_conntrack_tables(); // a second call says what the first one said
    void detach_conntrack_tables() { conntrack_tables_.reset(); }

    // The iterators read what the programs before them have learned: attach those first.
    Result<> attach_tcp_state();
    Result<> attach_drops(); // a second call says what the first one said
    // Whether drops of backlogs are to be announced now; nothing changes where the same program counts last ACKs.
    Result<> announce_backlog_drops(bool wanted);
    Result<> attach_sysctl();
    Result<> attach_listeners(); // with what looks at the sockets that it puts aside, where this kernel takes that
    Result<> attach_namespaces();
    Result<> attach_sockets();

    [[nodiscard]] bool sees_arrivals() const { return tcp_state_ || listen_; }
    [[nodiscard]] bool has_conntrack_tables() const { return conntrack_tables_.has_value(); }
    [[nodiscard]] bool counts_last_ack_overflows() const { return drops_ && drops_->links.drops_by_listener; }

    // Each needs its program attached.
    Result<Census> listeners();
    Result<Census> namespaces();
    // See Probes.
    void ask_for_memory(bool asked);
    Result<std::optional<std::vector<MemoryReading>>> memory();
    Result<std::optional<std::vector<SocketsReading>>> tcp_sockets(); // see Probes, as the next
    Result<std::vector<CloseWaitReading>> close_waits();
    // Whether flows are looked at, or why not.
    [[nodiscard]] Result<> looks_at_flows() const;
    // Of those that were put aside. Nothing is run where there are none.
    Result<std::vector<FlowReading>> flows();
    // The same of UDP sockets.
    [[nodiscard]] Result<> looks_at_udp() const;
    Result<std::vector<UdpReading>> udp();
    Result<> hold_udp(std::uint64_t cookie);                  // see Probes
    void watch_sysctls(std::span<const std::string> sysctls); // see Probes
    // See Probes::nudge().
    Result<std::uint32_t> nudge(Nudge what);
    Result<std::vector<QueueReading>> queues();
    Result<std::vector<NetnsId>> queues_left_out(); // see Probes
    // What is known of listeners that another source has found, as the census would have it.
    void fill_learned(std::span<ListenerReading> listeners) const;
    [[nodiscard]] Result<std::vector<ConntrackTable>> conntrack_tables() const { return conntrack_tables_->read(); }
    Result<> fill_conntrack_inserts(std::span<ConntrackReading> readings) const;

    [[nodiscard]] int event_fd() const { return ready_.value(); }
    bool drain(const Handler& handle, Nanoseconds budget); // see Probes
    [[nodiscard]] std::uint64_t lost_events() const;
    [[nodiscard]] std::uint64_t withheld_events() const;

private:
    Result<Object<drops_tracepoint>> load_drops(bool by_listener) const;
    // What the census puts aside to be looked at.
    struct Aside {
        bool flows = false;
        bool udp = false;
    };
    Result<Object<listeners_iter>> load_listeners(const MibIndices& indices, Aside aside) const;
    static Result<Object<udp_iter>> load_udp(const listeners_iter& census);
    static Result<Object<flows_iter>> load_flows(const listeners_iter& census);
    Result<> attach_nudge();   // a second call does nothing
    Result<MibIndices> mibs(); // walking BTF takes 15 ms or more: once
    Result<> add_ring(const bpf_map* events);
    static int on_sample(void* self, void* data, std::size_t size);

    // Of the rung of `listen` that is attached; nullptr: none is.
    [[nodiscard]] const bpf_map* asked() const;
    [[nodiscard]] const bpf_map* port_failures() const;

    Options options_;
    std::vector<std::string> also_watched_; // sysctls
    std::optional<ListenFentry> listen_;
    std::optional<ConntrackFentry> conntrack_;
    std::optional<ConntrackIter> conntrack_tables_;
    Object<tcp_state_tracepoint> tcp_state_;
    Object<drops_tracepoint> drops_;
    Object<sysctl_cgroup> sysctl_;
    Object<listeners_iter> listeners_;
    Object<flows_iter> flows_;
    std::uint64_t left_out_ = 0; // as of the last queues_left_out(), by map key as well
    std::map<std::uint64_t, std::uint64_t> left_out_of_;
    std::string no_flows_;     // why there is none
    Object<nudge_iter> nudge_; // from its first use
    Object<udp_iter> udp_;
    std::string no_udp_; // why there is none
    Object<namespaces_iter> namespaces_;
    Object<sockets_iter> sockets_;
    std::vector<std::unique_ptr<ring_buffer, FreeRing>> rings_; // apart: libbpf empties those of one manager in turn
    sys::Fd ready_;                                             // epoll, over all of them
    const Handler* handler_ = nullptr;                          // while draining, as is the next
    MonoTime drain_end_;
    std::optional<MibIndices> mibs_;
};

} // namespace bpftune::probes

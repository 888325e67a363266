// SPDX-License-Identifier: Apache-2.0
// All probes of the node behind one door: each takes the best rung of its ladder that really attaches here.
#pragma once

#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/change.hpp"
#include "core/result.hpp"
#include "core/snapshot.hpp"
#include "probes/readings.hpp"
#include "sys/module_types.hpp"
#include "sys/mounts.hpp"
#include "sys/process_links.hpp"
#include "sys/visit.hpp"

namespace bpftune::probes {

// A rung that somebody asked for, in place of the best that attaches.
struct RungChoice {
    Probe probe = Probe::listen;
    Rung rung = Rung::none;
};

// "listen=netlink". Error: there is no such probe, or its ladder has no such rung; the message names those that are.
Result<RungChoice> parse_rung_choice(std::string_view text);

// How a network namespace is looked into, where BPF does not see them all: as sys::visit_netns() does.
using Visitor = std::function<Result<sys::Visit>(const NetnsId&, const sys::NetnsHint&, const sys::Wanted&)>;

struct Options {
    std::vector<RungChoice> rungs; // of two for one probe the last counts
    double pressure_ratio = 0.5;   // of a listener's limit: depth that raises an event
    // A queue of whose limit a quarter waits has an event too, if its second half would be full within this.
    Nanoseconds fills_at_once = std::chrono::milliseconds(2);
    Nanoseconds event_interval = std::chrono::milliseconds(5); // between two events of one queue
    std::vector<std::string> sysctls;                          // whose writers are of interest: "net/core/somaxconn"
    int own_pid = 0;                                           // of the process whose writes of them are no news
    std::filesystem::path proc_root = "/proc";
    // What takes more rights than reading does: by the thread that reads; the service has its writer do it.
    Visitor visit = sys::visit_netns;
    std::optional<sys::ProcessLooks> looks = {}; // nullopt: with the rights of the caller
    std::function<Result<sys::Fd>()> conntrack_types = sys::conntrack_types;
};

// One rung of one ladder, as tried: for `doctor`.
struct Step {
    Probe probe = Probe::listen;
    Rung rung = Rung::none;
    bool taken = false;
    std::string reason; // why not; of one that is taken: what this kernel or these rights keep from it; one line
};

using Event = std::variant<PressureEvent, ListenEvent, PortsExhaustedEvent, BacklogDropEvent, ConntrackFullEvent,
                           SysctlWriteEvent>;

class Probes {
public:
    // Never fails: what cannot be had has the rung `none`, and its steps say why.
    static Probes open(const Options& options);

    Probes(Probes&&) noexcept;
    Probes& operator=(Probes&&) noexcept;
    ~Probes();

    [[nodiscard]] Rung rung(Probe probe) const;
    [[nodiscard]] std::span<const Step> ladder() const;

    // Error: a rung of Options::rungs cannot be had here, and why. That nf_conntrack is not loaded yet is one for the
    // fentry rung only: the others are taken when it comes.
    [[nodiscard]] Result<> as_asked() const;

    // Is readable while events wait; -1: no events on these rungs. `drain` hands over what waits, also what comes
    // meanwhile, but for no longer than `budget` and the last event take: an equal part of it for each source, so that
    // one that never ends hides no other. Whether more may wait.
    [[nodiscard]] int event_fd() const;
    bool drain(const std::function<void(const Event&)>& handle, Nanoseconds budget = std::chrono::seconds(10));
    [[nodiscard]] std::uint64_t lost_events() const; // that BPF could not pass on, or put into a queue
    // Past what a namespace, or all of them, may cause in a second: the next reading or census finds what is still so.
    [[nodiscard]] std::uint64_t withheld_events() const;

    // Whether ListenerReading::last_ack_overflows is counted, so that `drops` less it is exactly the listener's part of
    // ListenOverflows. Older kernels do not say whose they were (6.1), or give that drop no name (6.12).
    [[nodiscard]] bool counts_last_ack_overflows() const;

    // Whether arrivals are seen, each with the queue that it found. Else queues are known as of each census only, and
    // `queues` is empty.
    [[nodiscard]] bool sees_arrivals() const;

    // Every listener of the node, by netlink of the namespaces given. Costs up to 26 ms with 100,000 open files, by
    // netlink 0.3 ms for each namespace: the caller paces it.
    Result<std::vector<ListenerReading>> listeners(std::span<const NetnsReading> namespaces);
    // Those of one namespace, also those that no process holds: without pid, descriptor and name. By sock_diag, about
    // 0.3 ms. ESTALE: the namespace is gone; EACCES, EPERM: these rights do not open it.
    [[nodiscard]] Result<std::vector<ListenerReading>> listeners_of(const NetnsReading& netns) const;
    // The highest port that a UDP socket of the namespace has below its range of local ports; 0: none. By sock_diag, as
    // is the last.
    [[nodiscard]] Result<std::uint16_t> udp_port_below(const NetnsReading& netns) const;
    // Whether `listeners` has all of each namespace given, also those that no process holds.
    [[nodiscard]] bool lists_whole_namespaces() const { return rung(Probe::listen) == Rung::netlink; }
    Result<std::vector<QueueReading>> queues(); // ends the epoch
    // The namespaces of which some arrivals since the last call are in no queue: more queues were new there, or in all
    // namespaces, than a second may have, so that those of others stay.
    Result<std::vector<NetnsId>> queues_left_out();
    // Those that a process is in, and those that are bound to a file (bound_namespaces.hpp).
    Result<std::vector<NetnsReading>> namespaces();
    // The files to which namespaces are bound, by inode, as of the last namespaces(). Error: that is not known.
    [[nodiscard]] Result<std::span<const sys::BoundNetns>> bound() const;
    // A look at each flow that the last listeners() has put aside: two of them, a fraction of a second apart, tell what
    // holds it back. Costs nothing where there is none.
    Result<std::vector<FlowReading>> flows();
    // A look at each UDP socket that has dropped anything within a minute, or is held. Costs nothing where there is
    // none. `looks_at_udp`: whether there is such a look here, or why not.
    [[nodiscard]] Result<> looks_at_udp() const;
    Result<std::vector<UdpReading>> udp();
    // Whether listeners() is to add up what sockets hold of the memory of TCP and of UDP, from the next one on.
    // `memory`: by network namespace, as of the last; nullopt: there was none since, or this kernel cannot.
    void ask_for_memory(bool asked);
    Result<std::optional<std::vector<MemoryReading>>> memory();

    // TCP sockets by state, whoever holds them, of each namespace that has any: a walk of their table, some
    // milliseconds where there are 100,000. nullopt: this rung has none, or it did not get through while sockets moved.
    Result<std::optional<std::vector<SocketsReading>>> tcp_sockets();
    // By the last of listeners(): of each namespace that has any such.
    Result<std::vector<CloseWaitReading>> close_waits();
    // From the next listeners() on it is looked at for as long as it lives. Of the last 4,096.
    Result<> hold_udp(std::uint64_t cookie);
    // The BPF link of an iterator over the sockets of the namespace in which it is opened: it lets those that flows()
    // last found held back have what its tcp_rmem, or its tcp_congestion_control, is now. Loaded at the first call. Its
    // id; error: why there is none.
    Result<std::uint32_t> nudge(Nudge what);
    // Beside Options::sysctls, and in place of those of the last call. Those that BPF has no room for are left out: who
    // writes them is not seen.
    void watch_sysctls(std::span<const std::string> sysctls);
    Result<std::vector<SoftirqReading>> softirq();
    // Of each family that this kernel has.
    Result<std::vector<NeighbourReading>> neighbours();
    // Of the namespaces given, but those that no process is in and that are bound to no file. nf_conntrack not loaded:
    // an empty list.
    Result<std::vector<ConntrackReading>> conntrack(std::span<const NetnsReading> namespaces);

    // About `enough` entries of one namespace's table; see ctnetlink_sample(). Takes a visit.
    [[nodiscard]] Result<ConntrackSample> sample_conntrack(const NetnsReading& netns, std::size_t enough) const;

    // Those of a namespace's network devices that are wanted. Takes a visit. Error code ESTALE: the namespace is gone.
    [[nodiscard]] Result<std::vector<DeviceReading>> devices(const NetnsReading& netns,
                                                             const WantsDevice& wanted) const;

    // All interrupts of the network devices that are hardware, in the init network namespace. Takes a visit.
    [[nodiscard]] Result<std::vector<InterruptReading>> interrupts(const NetnsReading& host) const;
    [[nodiscard]] std::optional<bool> runs_irqbalance() const; // nullopt: that is not seen

    // Limits that are one number for the node; nullopt: not there (module not loaded).
    [[nodiscard]] std::optional<std::uint64_t> conntrack_max() const;
    [[nodiscard]] std::optional<std::uint64_t> conntrack_buckets() const;
    [[nodiscard]] std::optional<std::uint64_t> netdev_max_backlog() const;
    [[nodiscard]] std::optional<std::uint64_t> netdev_budget() const;
    [[nodiscard]] std::optional<std::uint64_t> netdev_budget_usecs() const;
    [[nodiscard]] SocketSizes socket_sizes() const;
    // Those of the host's tcp_allowed_congestion_control; nullopt: not read.
    [[nodiscard]] std::optional<std::string> allowed_congestion_control() const;

    struct State; // in probes.cpp alone

private:
    explicit Probes(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

} // namespace bpftune::probes

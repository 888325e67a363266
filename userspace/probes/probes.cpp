// SPDX-License-Identifier: Apache-2.0
#include "probes/probes.hpp"

#include <algorithm>
#include <ranges>
#include <unordered_map>
#include <utility>

#include <linux/capability.h>

#include "core/text.hpp"
#include "probes/bound_namespaces.hpp"
#include "probes/conntrack.hpp"
#include "probes/devices.hpp"
#include "probes/interrupts.hpp"
#include "probes/netlink_listeners.hpp"
#include "probes/proc_namespaces.hpp"
#include "probes/programs.hpp"
#include "probes/widened.hpp"
#include "sys/capabilities.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/heap.hpp"
#include "sys/procfs.hpp"

namespace bpftune::probes {
namespace {

// A minute of ticks: drops that come less often are found by softnet_stat alone.
constexpr int readings_until_quiet = 60;

} // namespace

struct Probes::State {
    explicit State(const Options& chosen)
        : State(chosen, chosen.looks ? *chosen.looks : sys::own_looks(chosen.proc_root)) {}
    State(const Options& chosen, const sys::ProcessLooks& looks)
        : proc(chosen.proc_root), rungs(chosen.rungs), programs(chosen),
          namespaces(chosen.proc_root, chosen.visit, looks), bound(chosen.visit), names(chosen.proc_root),
          listeners(chosen.proc_root, chosen.visit, looks), conntrack(chosen.proc_root, chosen.visit, looks),
          visit(chosen.visit) {
        taken.fill(Rung::none);
    }

    // What was asked for; `none`: nothing, the best is wanted.
    [[nodiscard]] Rung asked(Probe probe) const {
        const auto choice = std::ranges::find(rungs.rbegin(), rungs.rend(), probe, &RungChoice::probe);
        return choice == rungs.rend() ? Rung::none : choice->rung;
    }

    [[nodiscard]] Rung& rung(Probe probe) { return taken[static_cast<std::size_t>(probe)]; }
    void climb(Probe probe);
    Result<> watch_backlogs(std::uint64_t dropped); // by all CPUs
    Result<Census> census(std::span<const NetnsReading> of_namespaces);
    Result<std::vector<NetnsReading>> with_processes();
    Result<std::vector<ConntrackReading>> conntrack_tables(std::span<const NetnsReading> of_namespaces);

    std::filesystem::path proc;
    std::vector<RungChoice> rungs;
    Programs programs;
    ProcNamespaces namespaces; // netlink and procfs: below the programs
    BoundNamespaces bound;     // on every rung
    BoundNames names;
    Result<> names_read;
    NetlinkListeners listeners;
    ConntrackReader conntrack;
    Visitor visit;
    Widened<std::uint64_t, ListenerReading> drops; // by socket cookie
    Widened<unsigned, SoftirqReading> backlogs;    // by CPU: one that is off goes on where it was
    std::vector<NetnsReading> of_listeners;        // namespaces that the last census came upon
    std::optional<std::uint64_t> backlog_drops;    // at the last reading
    int readings_without_drops = readings_until_quiet;
    std::array<Rung, all_probes.size()> taken{};
    std::vector<Step> ladder;
};

namespace {

using State = Probes::State;

// Tries a rung; the value says what this kernel or these rights keep from it.
using Attempt = Result<std::string> (*)(State&);

Result<std::string> listen_by_fentry(State& state) { return state.programs.attach_listen_fentry(); }

Result<std::string> listen_by_tracepoint(State& state) {
    if (auto done = state.programs.attach_tcp_state(); !done) return std::unexpected(done.error());
    // Without it the rest carries on; the softirq ladder says why it was refused.
    (void)state.programs.attach_drops();
    // Without a census tcp_state stays: it also counts the connects that found no port.
    if (auto done = state.programs.attach_listeners(); !done) return std::unexpected(done.error());
    if (state.programs.counts_last_ack_overflows()) return "";
    return "whose last ACKs overflowed: a listener's share of the namespace's overflows is estimated from its drops";
}

Result<std::string> time_wait_by_iterator(State& state) {
    if (auto done = state.programs.attach_namespaces(); !done) return std::unexpected(done.error());
    if (auto done = state.programs.attach_sockets(); !done) return "sockets by state: " + done.error().message;
    return "";
}

// What a rung would see, and these rights keep from it. What is closed to CAP_SYS_PTRACE too is guarded by a security
// module: no pod.
std::string withheld(const ProcNamespaces::Unseen& unseen) {
    std::string text;
    if (unseen.processes > 0 && !sys::has_capability(CAP_SYS_PTRACE))
        text += fmt::format("the namespaces of {} processes (CAP_SYS_PTRACE)", unseen.processes);
    if (unseen.namespaces > 0)
        text += fmt::format("{}what is in {} other namespaces (CAP_SYS_ADMIN, CAP_SYS_PTRACE)",
                            text.empty() ? "" : "; ", unseen.namespaces);
    return text;
}

Result<std::string> listen_by_netlink(State& state) {
    const auto namespaces = state.namespaces.read();
    if (!namespaces) return std::unexpected(namespaces.error());
    if (auto read = state.listeners.read(*namespaces); !read) return std::unexpected(read.error());
    std::string lost;
    if (!state.programs.sees_arrivals())
        lost = "how full a queue was between two looks; arrivals; what listen() asked for";
    const std::string more = withheld(state.namespaces.unseen());
    return lost + (lost.empty() || more.empty() ? "" : "; ") + more;
}

Result<std::string> time_wait_by_procfs(State& state) {
    const auto readings = state.namespaces.read();
    if (!readings) return std::unexpected(readings.error());
    return withheld(state.namespaces.unseen());
}

Result<std::string> softirq_by_procfs(State& state) {
    const auto text = sys::read_file(state.proc / "thread-self/net/softnet_stat");
    if (!text) return std::unexpected(text.error());
    if (const auto events = state.programs.attach_drops(); !events)
        return fmt::format("drops between two looks ({})", events.error().message);
    return "";
}

struct NeighbourFiles {
    Family family;
    const char* statistics; // of the init network namespace alone
    const char* limits;
};
constexpr std::array neighbour_files{
    NeighbourFiles{Family::ipv4, "thread-self/net/stat/arp_cache", "sys/net/ipv4/neigh/default"},
    NeighbourFiles{Family::ipv6, "thread-self/net/stat/ndisc_cache", "sys/net/ipv6/neigh/default"},
};

Result<std::string> neighbours_by_procfs(State& state) {
    if (const auto text = sys::read_file(state.proc / neighbour_files[0].statistics); !text)
        return std::unexpected(text.error());
    return "";
}

Result<std::string> conntrack_by_fentry(State& state) {
    if (!state.conntrack.loaded()) return failure("nf_conntrack is not loaded");
    if (!state.programs.attach_conntrack_tables() && !state.conntrack.try_procfs())
        return failure("entries and drops are read from /proc, which has none");
    return state.programs.attach_conntrack_fentry();
}

Result<std::string> conntrack_by_iterator(State& state) {
    if (!state.conntrack.loaded()) return failure("nf_conntrack is not loaded");
    if (auto done = state.programs.attach_conntrack_tables(); !done) return std::unexpected(done.error());
    return "";
}

Result<std::string> conntrack_by_procfs(State& state) {
    if (!state.conntrack.loaded()) return failure("nf_conntrack is not loaded");
    if (auto done = state.conntrack.try_procfs(); !done) return std::unexpected(done.error());
    return "";
}

Result<std::string> conntrack_by_netlink(State& state) {
    if (!state.conntrack.loaded()) return failure("nf_conntrack is not loaded");
    if (auto done = state.conntrack.try_netlink(); !done) return std::unexpected(done.error());
    return "";
}

// What sets a value is seen before it is set, and whether it was, by reading it.
Result<std::string> sysctl_by_cgroup(State& state) {
    if (auto done = state.programs.attach_sysctl(); !done) return std::unexpected(done.error());
    return "who writes to /sys/module (nf_conntrack's hashsize)";
}

Result<std::string> sysctl_by_procfs(State& state) {
    if (auto read = sys::read_number(state.proc / "sys/net/core/somaxconn"); !read)
        return std::unexpected(read.error());
    return "who set a value; that it was set, at the next tick";
}

// Namespaces that the last census came upon: those that nothing else shows, and what it alone knows of the others.
void add_of_listeners(std::vector<NetnsReading>& readings, std::span<const NetnsReading> of_listeners) {
    std::unordered_map<NetnsId, std::size_t> places;
    for (std::size_t i = 0; i < readings.size(); ++i) places.try_emplace(readings[i].netns, i);
    for (const NetnsReading& other : of_listeners) {
        const auto [place, is_new] = places.try_emplace(other.netns, readings.size());
        if (is_new) {
            readings.push_back(other);
        } else if (NetnsReading& known = readings[place->second]; !known.ports_exhausted) {
            known.ports_exhausted = other.ports_exhausted;
        }
    }
}

Result<std::string> buffers_by_iterator(State& state) {
    if (state.rung(Probe::listen) == Rung::netlink) return failure("listen=netlink walks no descriptors");
    if (auto looks = state.programs.looks_at_flows(); !looks) return std::unexpected(looks.error());
    if (auto looks = state.programs.looks_at_udp(); !looks) return "what UDP sockets drop: " + looks.error().message;
    return "";
}

struct Row {
    Probe probe;
    Rung rung;
    Attempt attempt;
};

// Best first: the cheapest that is exact. What the kernel counts anyway (TIME_WAIT entries, softnet) needs no fentry.
constexpr std::array rows{
    Row{Probe::listen, Rung::fentry, listen_by_fentry},
    Row{Probe::listen, Rung::tracepoint, listen_by_tracepoint},
    Row{Probe::listen, Rung::netlink, listen_by_netlink},
    Row{Probe::time_wait, Rung::tracepoint, time_wait_by_iterator},
    Row{Probe::time_wait, Rung::procfs, time_wait_by_procfs},
    Row{Probe::softirq, Rung::procfs, softirq_by_procfs},
    Row{Probe::conntrack, Rung::fentry, conntrack_by_fentry},
    Row{Probe::conntrack, Rung::tracepoint, conntrack_by_iterator},
    Row{Probe::conntrack, Rung::procfs, conntrack_by_procfs},
    Row{Probe::conntrack, Rung::netlink, conntrack_by_netlink},
    Row{Probe::sysctl, Rung::cgroup, sysctl_by_cgroup},
    Row{Probe::sysctl, Rung::procfs, sysctl_by_procfs},
    Row{Probe::buffers, Rung::tracepoint, buffers_by_iterator},
    Row{Probe::neighbours, Rung::procfs, neighbours_by_procfs},
};

std::string rungs_of(Probe probe) {
    std::string names;
    for (const Row& row : rows)
        if (row.probe == probe) names += fmt::format("{}{}", names.empty() ? "" : ", ", to_string(row.rung));
    return names;
}

std::optional<std::uint64_t> number_in(const std::filesystem::path& path) {
    const auto number = sys::read_number(path);
    return number ? std::optional(*number) : std::nullopt;
}

} // namespace

Result<RungChoice> parse_rung_choice(std::string_view text) {
    const std::size_t equals = std::min(text.find('='), text.size());
    const std::string_view probe_name = text.substr(0, equals);
    const std::string_view rung_name = text.substr(std::min(equals + 1, text.size()));
    const auto probe = std::ranges::find(all_probes, probe_name, [](Probe each) { return to_string(each); });
    if (equals == text.size() || probe == all_probes.end()) {
        const auto names = all_probes | std::views::transform([](Probe each) { return to_string(each); });
        return failure("'{}' is not PROBE=RUNG with a probe of {}", text, fmt::join(names, ", "));
    }
    const auto row = std::ranges::find_if(
        rows, [&](const Row& each) { return each.probe == *probe && to_string(each.rung) == rung_name; });
    if (row == rows.end()) return failure("{} has no rung '{}'; it has {}", probe_name, rung_name, rungs_of(*probe));
    return RungChoice{row->probe, row->rung};
}

void Probes::State::climb(Probe probe) {
    rung(probe) = Rung::none;
    std::erase_if(ladder, [&](const Step& step) { return step.probe == probe; });
    for (const Row& row : rows) {
        if (row.probe != probe) continue;
        Step step{.probe = probe, .rung = row.rung, .taken = false, .reason = "a better one is taken"};
        if (asked(probe) != Rung::none && asked(probe) != row.rung) {
            step.reason = fmt::format("{} was asked for", to_string(asked(probe)));
        } else if (rung(probe) == Rung::none) {
            const auto tried = row.attempt(*this);
            step.taken = tried.has_value();
            step.reason = tried ? *tried : tried.error().message;
            if (tried) rung(probe) = row.rung;
        }
        ladder.push_back(std::move(step));
    }
    std::ranges::stable_sort(ladder, {}, &Step::probe);
}

Probes::Probes(std::unique_ptr<State> state) : state_(std::move(state)) {}
Probes::Probes(Probes&&) noexcept = default;
Probes& Probes::operator=(Probes&&) noexcept = default;
Probes::~Probes() = default;

Probes Probes::open(const Options& options) {
    auto state = std::make_unique<State>(options);
    for (const Probe probe : all_probes) state->climb(probe);
    sys::trim_heap(); // the kernel's BTF was in memory for a moment: some 10 MiB
    return Probes(std::move(state));
}

Rung Probes::rung(Probe probe) const { return state_->rung(probe); }

std::span<const Step> Probes::ladder() const { return state_->ladder; }

Result<> Probes::as_asked() const {
    for (const Step& step : state_->ladder) {
        if (step.taken || step.rung != state_->asked(step.probe)) continue;
        // Whether this kernel has the fentry rung is known when the module is there; the others come with it, by
        // iterators where this kernel has those.
        const bool can_come = step.probe == Probe::conntrack && step.rung != Rung::fentry;
        if (can_come && !state_->conntrack.loaded()) continue;
        return failure("{}={} cannot be had here: {}", to_string(step.probe), to_string(step.rung), step.reason);
    }
    return {};
}

int Probes::event_fd() const { return state_->programs.event_fd(); }

bool Probes::drain(const std::function<void(const Event&)>& handle, Nanoseconds budget) {
    return state_->programs.drain(handle, budget);
}

std::uint64_t Probes::lost_events() const { return state_->programs.lost_events(); }

std::uint64_t Probes::withheld_events() const { return state_->programs.withheld_events(); }

bool Probes::counts_last_ack_overflows() const {
    return rung(Probe::listen) != Rung::netlink && state_->programs.counts_last_ack_overflows();
}

bool Probes::sees_arrivals() const { return rung(Probe::listen) != Rung::none && state_->programs.sees_arrivals(); }

Result<Census> Probes::State::census(std::span<const NetnsReading> of_namespaces) {
    if (rung(Probe::listen) == Rung::none) return failure("the listen probe is unavailable");
    if (rung(Probe::listen) != Rung::netlink) return programs.listeners();
    auto found = listeners.read(of_namespaces);
    if (!found) return std::unexpected(found.error());
    return Census{.listeners = std::move(*found), .namespaces = {}};
}

Result<std::vector<ListenerReading>> Probes::listeners(std::span<const NetnsReading> namespaces) {
    auto found = state_->census(namespaces);
    if (!found) return std::unexpected(found.error());
    for (ListenerReading& listener : found->listeners) state_->drops.update(listener.cookie, listener);
    state_->drops.end_of_reading();
    state_->of_listeners = std::move(found->namespaces);
    return std::move(found->listeners);
}

Result<std::vector<NetnsReading>> Probes::State::with_processes() {
    if (rung(Probe::time_wait) == Rung::procfs) return namespaces.read();
    auto found = programs.namespaces();
    if (!found) return std::unexpected(found.error());
    return std::move(found->namespaces);
}

void Probes::ask_for_memory(bool asked) { state_->programs.ask_for_memory(asked); }

Result<std::optional<std::vector<MemoryReading>>> Probes::memory() { return state_->programs.memory(); }

Result<std::optional<std::vector<SocketsReading>>> Probes::tcp_sockets() { return state_->programs.tcp_sockets(); }

Result<std::vector<CloseWaitReading>> Probes::close_waits() { return state_->programs.close_waits(); }

Result<std::vector<ListenerReading>> Probes::listeners_of(const NetnsReading& netns) const {
    if (rung(Probe::listen) == Rung::none) return failure("the listen probe is unavailable");
    auto found = state_->listeners.read_one(netns);
    if (!found) return found;
    for (ListenerReading& listener : *found) state_->drops.peek(listener.cookie, listener);
    if (rung(Probe::listen) != Rung::netlink) state_->programs.fill_learned(*found);
    return found;
}

Result<std::uint16_t> Probes::udp_port_below(const NetnsReading& netns) const {
    return state_->listeners.udp_port_below(netns);
}

Result<std::vector<QueueReading>> Probes::queues() {
    if (!sees_arrivals()) return std::vector<QueueReading>{};
    return state_->programs.queues();
}

Result<std::vector<NetnsId>> Probes::queues_left_out() {
    if (!sees_arrivals()) return std::vector<NetnsId>{};
    return state_->programs.queues_left_out();
}

Result<std::vector<NetnsReading>> Probes::namespaces() {
    if (rung(Probe::time_wait) == Rung::none) return failure("the time_wait probe is unavailable");
    auto readings = state_->with_processes();
    if (!readings) return readings;
    state_->names_read = state_->names.update();
    state_->bound.add_to(*readings, state_->names.all(), state_->conntrack.loaded(), sys::now().mono);
    add_of_listeners(*readings, state_->of_listeners);
    return readings;
}

Result<std::span<const sys::BoundNetns>> Probes::bound() const {
    if (!state_->names_read) return std::unexpected(state_->names_read.error());
    return std::span(state_->names.all());
}

// The first drop is found by its count, those that follow it are announced.
Result<> Probes::State::watch_backlogs(std::uint64_t dropped) {
    const auto before = std::exchange(backlog_drops, dropped);
    if (!before) return {};
    readings_without_drops = dropped == *before ? std::min(readings_without_drops + 1, readings_until_quiet) : 0;
    return programs.announce_backlog_drops(readings_without_drops < readings_until_quiet);
}

Result<std::vector<FlowReading>> Probes::flows() {
    if (rung(Probe::buffers) == Rung::none) return failure("the buffers probe is unavailable");
    return state_->programs.flows();
}

Result<> Probes::looks_at_udp() const {
    if (rung(Probe::buffers) == Rung::none) return failure("the buffers probe is unavailable");
    return state_->programs.looks_at_udp();
}

Result<std::vector<UdpReading>> Probes::udp() {
    if (auto looks = looks_at_udp(); !looks) return std::unexpected(looks.error());
    return state_->programs.udp();
}

Result<> Probes::hold_udp(std::uint64_t cookie) { return state_->programs.hold_udp(cookie); }

void Probes::watch_sysctls(std::span<const std::string> sysctls) { state_->programs.watch_sysctls(sysctls); }

Result<std::uint32_t> Probes::nudge(Nudge what) { return state_->programs.nudge(what); }

Result<std::vector<SoftirqReading>> Probes::softirq() {
    const auto text = sys::read_file(state_->proc / "thread-self/net/softnet_stat");
    if (!text) return std::unexpected(text.error());
    const auto rows_read = sys::parse_softnet_stat(*text);
    if (!rows_read) return std::unexpected(rows_read.error());
    std::vector<SoftirqReading> readings;
    std::uint64_t dropped = 0;
    for (const sys::SoftnetRow& row : *rows_read) {
        readings.push_back({.cpu = row.cpu,
                            .processed = row.processed,
                            .dropped = row.dropped,
                            .time_squeeze = row.time_squeeze,
                            .backlog = row.backlog,
                            .flow_limited = row.flow_limited});
        state_->backlogs.update(row.cpu, readings.back());
        dropped += readings.back().dropped;
    }
    state_->backlogs.end_of_reading_keeping_gone();
    if (auto watched = state_->watch_backlogs(dropped); !watched) return std::unexpected(watched.error());
    return readings;
}

Result<std::vector<NeighbourReading>> Probes::neighbours() {
    std::vector<NeighbourReading> readings;
    for (const NeighbourFiles& files : neighbour_files) {
        const auto text = sys::read_file(state_->proc / files.statistics);
        if (!text && text.error().code == ENOENT) continue;
        if (!text) return std::unexpected(text.error());
        const auto stat = sys::parse_neighbour_stat(*text);
        if (!stat) return std::unexpected(stat.error());
        const auto limits = state_->proc / files.limits;
        readings.push_back({.family = files.family,
                            .stat = *stat,
                            .gc_thresh1 = number_in(limits / "gc_thresh1"),
                            .gc_thresh2 = number_in(limits / "gc_thresh2"),
                            .gc_thresh3 = number_in(limits / "gc_thresh3")});
    }
    return readings;
}

// What fentry counts is added to these: they are read by the better of the two rungs below it.
Result<std::vector<ConntrackReading>> Probes::State::conntrack_tables(std::span<const NetnsReading> of_namespaces) {
    if (!programs.has_conntrack_tables()) return conntrack.by_procfs(of_namespaces);
    const auto tables = programs.conntrack_tables();
    if (!tables) return std::unexpected(tables.error());
    return conntrack.by_iterator(of_namespaces, *tables);
}

Result<std::vector<ConntrackReading>> Probes::conntrack(std::span<const NetnsReading> namespaces) {
    // The module may come and go while we run.
    const bool known = rung(Probe::conntrack) != Rung::none;
    const bool loaded = state_->conntrack.loaded();
    if (!loaded) {
        state_->conntrack.unloaded();
        state_->programs.detach_conntrack_tables();
    }
    if (known != loaded) {
        state_->climb(Probe::conntrack);
        sys::trim_heap(); // as when it was opened
    }
    switch (rung(Probe::conntrack)) {
    case Rung::fentry: {
        auto readings = state_->conntrack_tables(namespaces);
        if (!readings) return readings;
        if (auto filled = state_->programs.fill_conntrack_inserts(*readings); !filled)
            return std::unexpected(filled.error());
        return readings;
    }
    case Rung::tracepoint: return state_->conntrack_tables(namespaces);
    case Rung::procfs: return state_->conntrack.by_procfs(namespaces);
    case Rung::netlink: return state_->conntrack.by_netlink(namespaces);
    default: return std::vector<ConntrackReading>{};
    }
}

Result<ConntrackSample> Probes::sample_conntrack(const NetnsReading& netns, std::size_t enough) const {
    return state_->conntrack.sample(netns, enough);
}

Result<std::vector<DeviceReading>> Probes::devices(const NetnsReading& netns, const WantsDevice& wanted) const {
    const auto visit = state_->visit(netns.netns, netns.hint(), {.devices = true});
    if (!visit) return std::unexpected(visit.error());
    return read_devices(*visit, wanted);
}

Result<std::vector<InterruptReading>> Probes::interrupts(const NetnsReading& host) const {
    const auto visit = state_->visit(host.netns, host.hint(), {.devices = true});
    if (!visit) return std::unexpected(visit.error());
    return read_interrupts(*visit, state_->proc);
}

std::optional<bool> Probes::runs_irqbalance() const { return probes::runs_irqbalance(state_->proc); }

std::optional<std::uint64_t> Probes::conntrack_max() const {
    return number_in(state_->proc / "sys/net/netfilter/nf_conntrack_max");
}

std::optional<std::uint64_t> Probes::conntrack_buckets() const {
    return number_in(state_->proc / "sys/net/netfilter/nf_conntrack_buckets");
}

std::optional<std::uint64_t> Probes::netdev_max_backlog() const {
    return number_in(state_->proc / "sys/net/core/netdev_max_backlog");
}

std::optional<std::uint64_t> Probes::netdev_budget() const {
    return number_in(state_->proc / "sys/net/core/netdev_budget");
}

std::optional<std::uint64_t> Probes::netdev_budget_usecs() const {
    return number_in(state_->proc / "sys/net/core/netdev_budget_usecs");
}

std::optional<std::string> Probes::allowed_congestion_control() const {
    const auto text = sys::read_file(state_->proc / "sys/net/ipv4/tcp_allowed_congestion_control");
    return text ? std::optional(printable(single_spaced(*text))) : std::nullopt;
}

SocketSizes Probes::socket_sizes() const {
    const auto core = state_->proc / "sys/net/core";
    return {.rmem_max = number_in(core / "rmem_max"),
            .wmem_max = number_in(core / "wmem_max"),
            .rmem_default = number_in(core / "rmem_default"),
            .wmem_default = number_in(core / "wmem_default")};
}

} // namespace bpftune::probes

// SPDX-License-Identifier: Apache-2.0
#include "controller/tcp_buffers.hpp"

#include <algorithm>
#include <array>
#include <unordered_map>

#include <fmt/format.h>

#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "core/words.hpp"

namespace bpftune::controller {
namespace {

// A direction, and what bounds it.
struct Way {
    TunableId tunable;
    std::optional<std::uint64_t> TcpBuffers::* value;
    std::optional<HeldBack> TcpBuffers::* held_back;
    std::string_view name;
    std::string_view option; // by which an application sets the size
    std::string_view arrow;
};
constexpr std::array ways{
    Way{TunableId::tcp_rmem, &TcpBuffers::rmem_max, &TcpBuffers::receiving, "tcp_rmem", "SO_RCVBUF", "<-"},
    Way{TunableId::tcp_wmem, &TcpBuffers::wmem_max, &TcpBuffers::sending, "tcp_wmem", "SO_SNDBUF", "->"},
};

constexpr std::uint64_t step_factor = 2;

// A packet that is segmented late has up to 64 KiB (GSO_LEGACY_MAX_SIZE), and the last one may go past the limit: below
// four of these twice the size lets nothing more through.
constexpr std::uint64_t least_useful = 4 * 65536ULL;

ObjectKey object_of(const TcpBuffers& row, const Way& way) { return {way.tunable, row.netns}; }

std::string name_of(const TcpBuffers& row) { return netns_text(row.netns, row.pod); }

// Each that is held back has filled it.
std::vector<std::uint64_t> filled(const HeldBack& held, std::uint64_t value) {
    return std::vector<std::uint64_t>(held.flows, value);
}

std::uint64_t connections_of(const TcpStates& states) {
    return states.established + states.fin_wait1 + states.fin_wait2 + states.close_wait + states.last_ack +
           states.closing;
}

using Connections = std::unordered_map<NetnsId, std::uint64_t>; // of each namespace where they are counted

Connections connections_in(const Snapshot& snapshot) {
    Connections found;
    for (const NetnsTcp& row : snapshot.tcp)
        if (row.states) found.emplace(row.netns, connections_of(*row.states));
    return found;
}

// What the connections hold that nothing holds back is not looked at, and any of them may come to fill its buffer: that
// a limit is not used is seen only in a namespace that has none. Where nobody counts them, only those are charged that
// are held back now, or were expected.
void add_use(Reading& reading, const std::optional<HeldBack>& held, std::optional<std::uint64_t> connections) {
    const bool is_held_back = held && (held->flows > 0 || held->raised);
    const bool is_unused = connections == 0 && !is_held_back;
    reading.use = Use{.pressed = !is_unused};
    reading.charged_at_most = connections;
    if ((is_unused || !connections) && !reading.charged_each) reading.charged_each.emplace();
}

Reading reading_of(const Snapshot& snapshot, const TcpBuffers& row, const Way& way) {
    Reading reading{.object = object_of(row, way),
                    .netns_pid = row.pid,
                    .pod = &row.pod,
                    .value = row.*way.value,
                    .read = snapshot.time.mono,
                    .in_use = 0,
                    .sharers = std::max<std::uint64_t>(row.looked_at.value_or(0), 1)};
    const std::optional<HeldBack>& held = row.*way.held_back;
    if (!held) return reading;
    reading.raised = held->raised;
    if (reading.value && held->flows > 0) reading.charged_each = filled(*held, *reading.value);
    return reading;
}

// Its last part is of the connection that moves most within a round trip.
std::string why_of(const TcpBuffers& row, const Way& way, const HeldBack& held) {
    std::string why = fmt::format("{} connection{} of {} {} held back by {}", held.flows, held.flows == 1 ? "" : "s",
                                  name_of(row), held.flows == 1 ? "is" : "are", way.name);
    if (!held.largest) return why;
    const HeldFlow& flow = *held.largest;
    why += fmt::format(": {} (pid {}) {} {} {} moves {} a second in round trips of {:.1f} ms", flow.command, flow.pid,
                       to_string(flow.local), way.arrow, to_string(flow.remote), size_text(flow.bytes_per_second),
                       static_cast<double>(flow.round_trip_us) / 1000);
    if (way.tunable == TunableId::tcp_rmem)
        why += fmt::format("; its handshake allows a window of {} at most, a later connection's may be wider",
                           size_text(flow.widest_window_bytes));
    return why;
}

void raise(Gate& gate, const Reading& reading, const TcpBuffers& row, const Way& way, const HeldBack& held) {
    const std::uint64_t value = *reading.value;
    const std::uint64_t to = std::max(step_factor * value, least_useful);
    std::vector<Evidence> evidence{{"held_back", held.flows}, {"bytes_per_second", held.bytes_per_second}};
    if (held.largest) evidence.push_back({"round_trip_us", held.largest->round_trip_us});
    gate.raise({.tunable = way.tunable,
                .scope = reading.scope(),
                .from = value,
                .to = to,
                .why = why_of(row, way, held),
                .expected = filled(held, to),
                .evidence = std::move(evidence),
                .reason = {.trial = {.object = reading.object}, .cause = Cause::loss, .fitted = value},
                .demand = reading.object,
                .urgent = true}); // each step waits for the verdict on the one before
}

// What the window scale of a new handshake is made for (net/ipv4/tcp_output.c, tcp_select_initial_window).
std::uint64_t scaled_for(const Gate& gate, const Reading& reading) {
    return std::max(*reading.value, gate.snapshot().socket_sizes.rmem_max.value_or(0));
}

// Once for all of a direction that no value of ours changes.
void say_what_is_fixed(Gate& gate, const Reading& reading, const TcpBuffers& row, const Way& way,
                       const HeldBack& held) {
    const std::uint64_t by_scale = way.tunable == TunableId::tcp_rmem ? row.window_scale.value_or(0) : 0;
    if (held.set_by_application + by_scale == 0) return;
    std::string why = "connections of " + name_of(row) + " are held back by what no sysctl changes while they run:";
    if (held.set_by_application > 0)
        why += fmt::format(" {} by the size that the application has set ({}), which it might leave to the kernel",
                           held.set_by_application, way.option);
    if (by_scale > 0)
        why += fmt::format("{} {} by the window scale of their handshake: those that are made from now on have one for "
                           "{}, the larger of tcp_rmem and net.core.rmem_max",
                           held.set_by_application > 0 ? ";" : "", by_scale, size_text(scaled_for(gate, reading)));
    gate.advise({.tunable = way.tunable,
                 .scope = reading.scope(),
                 .from = *reading.value,
                 .to = *reading.value,
                 .why = why + "; nothing raised",
                 .evidence = {{"set_by_application", held.set_by_application}, {"window_scale", by_scale}}},
                "fixed");
}

void judge(Gate& gate, const TcpBuffers& row, const Way& way) {
    const std::optional<HeldBack>& held = row.*way.held_back;
    const ObjectKey object = object_of(row, way);
    const Reading& reading = *gate.readings().find(object);
    if (!held || !reading.value || trial_with(gate, object) != nullptr || gate.puts_back(object)) return;
    if (held->flows > 0)
        raise(gate, reading, row, way, *held);
    else if (gate.snapshot().cause == Snapshot::Cause::tick && !gate.backs_off({.object = object}))
        say_what_is_fixed(gate, reading, row, way, *held);
}

void show_value(TcpBuffers& row, const Way& way, std::uint64_t value) {
    std::optional<std::uint64_t>& known = row.*way.value;
    std::optional<HeldBack>& held = row.*way.held_back;
    if (held && known && value > *known)
        held = HeldBack{.set_by_application = held->set_by_application,
                        .at_ceiling = held->at_ceiling,
                        .largest_at_ceiling = held->largest_at_ceiling};
    known = value;
}

} // namespace

namespace buffers {

void read(const View& view, std::vector<Reading>& readings) {
    const bool tick = view.snapshot.cause == Snapshot::Cause::tick;
    const Connections counted = tick ? connections_in(view.snapshot) : Connections();
    const auto connections = [&](const NetnsId& netns) {
        const auto found = counted.find(netns);
        return found != counted.end() ? std::optional(found->second) : std::nullopt;
    };
    for (const TcpBuffers& row : view.snapshot.buffers)
        for (const Way& way : ways) {
            Reading& reading = add(readings, [&] { return reading_of(view.snapshot, row, way); });
            if (tick) add_use(reading, row.*way.held_back, connections(row.netns));
        }
}

void rule(Gate& gate) {
    for (const TcpBuffers& row : gate.snapshot().buffers)
        for (const Way& way : ways) judge(gate, row, way);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (TcpBuffers& row : snapshot.buffers)
        for (const Way& way : ways)
            if (const auto value = value_of(object_of(row, way))) show_value(row, way, *value);
}

} // namespace buffers
} // namespace bpftune::controller

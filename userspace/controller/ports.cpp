// SPDX-License-Identifier: Apache-2.0
#include "controller/ports.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <unordered_map>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "core/parse.hpp"
#include "core/words.hpp"
#include "tunables/codec.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t least_factor = 2;
constexpr double time_wait_seconds = 60;        // include/net/tcp.h, TCP_TIMEWAIT_LEN
constexpr std::uint64_t kernel_default = 28232; // net/ipv4/af_inet.c, inet_init_net(): 32768 to 60999

ObjectKey object_of(const NetnsTcp& row) { return {TunableId::ip_local_port_range, row.netns}; }

Scope scope_of(const NetnsTcp& row) { return {.netns = row.netns, .netns_pid = row.pid, .pod = row.pod}; }

// The tunable's value where a range begins at `first`, and back.
std::uint64_t value_from(std::uint64_t first) {
    return tunables::row(TunableId::ip_local_port_range).counts_down_from - first;
}
std::uint64_t least_first() { return value_from(tunables::row(TunableId::ip_local_port_range).kernel_max); }
std::uint64_t value_in_force(const NetnsTcp& row) { return value_from(row.local_ports->first); }
// The one with which there are so many ports up to the last.
std::uint64_t value_for(std::uint64_t count, const NetnsTcp& row) {
    return count + value_from(row.local_ports->last) - 1;
}

// In each namespace, the highest port below its range that is listened at, or 0.
std::unordered_map<NetnsId, std::uint16_t> listening_below(const Snapshot& snapshot) {
    std::unordered_map<NetnsId, std::uint16_t> first;
    for (const NetnsTcp& row : snapshot.tcp)
        if (row.local_ports) first[row.netns] = row.local_ports->first;
    std::unordered_map<NetnsId, std::uint16_t> highest;
    for (const Listener& listener : snapshot.listeners) {
        const auto range = first.find(listener.netns);
        if (range == first.end() || listener.local.port >= range->second) continue;
        std::uint16_t& most = highest[listener.netns];
        most = std::max(most, listener.local.port);
    }
    return highest;
}

// Where the range may begin at the least, which a port that is listened at bounds, and one of a UDP socket: below the
// range it has asked for it, and wants it again after a restart. A policy's min does not wait for a look at these.
std::uint64_t most_of(const Snapshot& snapshot, const NetnsTcp& row, std::uint16_t listening) {
    if (row.netns == snapshot.host) return value_in_force(row);
    const std::uint64_t taken = std::max(listening, row.udp_port_below.value_or(0));
    const std::uint64_t first = std::max(taken + 1, least_first());
    return std::max(value_from(first), value_in_force(row));
}

std::uint64_t most_of(const Gate& gate, const NetnsTcp& row) {
    return gate.readings().find(object_of(row))->ceiling.value_or(value_in_force(row));
}

ObjectKey reuse_of(const NetnsTcp& row) { return {TunableId::tcp_tw_reuse, row.netns}; }

std::optional<std::uint64_t> reuse_in_force(const NetnsTcp& row) {
    return row.tw_reuse ? tunables::known_value(TunableId::tcp_tw_reuse, fmt::to_string(*row.tw_reuse)) : std::nullopt;
}

ObjectKey delay_of(const NetnsTcp& row) { return {TunableId::tcp_tw_reuse_delay, row.netns}; }

// nullopt: not known, or longer than anybody needs.
std::optional<std::uint64_t> delay_in_force(const NetnsTcp& row) {
    return row.tw_reuse_delay_ms
               ? tunables::known_value(TunableId::tcp_tw_reuse_delay, fmt::to_string(*row.tw_reuse_delay_ms))
               : std::nullopt;
}

// Connections that had a port. Where they are not counted as they begin they are at their end, by the side that closes
// first.
std::uint64_t fitted(const NetnsTcp& row) { return row.window_connects.value_or(row.window_time_wait_entries); }

Measured measured(const NetnsTcp& row) {
    const std::uint64_t seen = row.window_ports_exhausted + fitted(row);
    return {.losses = row.window_ports_exhausted, .demand = seen, .use = seen};
}

Reading reading_of(const Snapshot& snapshot, const NetnsTcp& row, std::uint16_t listening) {
    Reading reading{.object = object_of(row),
                    .netns_pid = row.pid,
                    .pod = &row.pod,
                    .read = snapshot.time.mono,
                    .in_use = 0, // a connection outside of the range stays
                    .measured = measured(row)};
    if (!row.local_ports) return reading;
    reading.value = value_in_force(row);
    reading.ceiling = most_of(snapshot, row, listening);
    const std::uint64_t taken = std::min(row.time_wait_sockets, count_of(*row.local_ports));
    reading.use = Use{.used = value_for(taken, row),
                      .wanted = value_for(least_factor * taken, row),
                      .pressed = row.window_ports_exhausted > 0};
    reading.charged = reading.use->used;
    return reading;
}

Reading reading_of(const Snapshot& snapshot, const NetnsTcp& row, const ObjectKey& object,
                   std::optional<std::uint64_t> value) {
    return {.object = object,
            .netns_pid = row.pid,
            .pod = &row.pod,
            .value = value,
            .read = snapshot.time.mono,
            .in_use = 0, // who has taken a port again keeps it
            .measured = measured(row)};
}

std::string why_of(const NetnsTcp& row) {
    std::string why = fmt::format("{} connect() found no free port in a second or so, all from {} to {} are taken",
                                  row.window_ports_exhausted, row.local_ports->first, row.local_ports->last);
    if (row.ports_exhausted_remote) why += fmt::format(" towards {}", to_string(*row.ports_exhausted_remote));
    if (!row.ports_exhausted_command.empty())
        why += fmt::format(" by {} ({}pid {})", row.ports_exhausted_command,
                           row.ports_exhausted_pod ? pod_text(*row.ports_exhausted_pod) + ", " : "",
                           row.ports_exhausted_pid);
    return fmt::format("{}; {} sockets are in TIME_WAIT there", why, row.time_wait_sockets);
}

Wish finding_of(const NetnsTcp& row) {
    return {.tunable = TunableId::ip_local_port_range,
            .scope = scope_of(row),
            .from = value_in_force(row),
            .to = value_in_force(row),
            .why = why_of(row),
            .evidence = {{"exhausted", row.window_ports_exhausted},
                         {"first", row.local_ports->first},
                         {"last", row.local_ports->last},
                         {"time_wait", row.time_wait_sockets}},
            .demand = object_of(row)};
}

// Each keeps its port for a minute after its end.
std::uint64_t size_for(const Snapshot& snapshot, const NetnsTcp& row) {
    const double seconds = std::chrono::duration<double>(snapshot.interval).count();
    const auto wanted = static_cast<double>(row.window_ports_exhausted + row.window_time_wait_entries);
    const double lasting = seconds > 0 ? std::ceil(wanted / seconds * time_wait_seconds) : 0;
    return value_for(std::max(least_factor * count_of(*row.local_ports), static_cast<std::uint64_t>(lasting)), row);
}

std::string what_bounds(const Gate& gate, const NetnsTcp& row, std::uint64_t policy_max) {
    if (row.netns == gate.snapshot().host) return "in the node's own namespace, where NodePorts lie below it";
    const std::uint64_t most = most_of(gate, row);
    if (policy_max < most)
        return fmt::format("past the policy's max, {}", tunables::text_of(TunableId::ip_local_port_range, policy_max));
    const std::uint64_t first = value_from(most);
    if (first <= least_first()) return fmt::format("below {}", least_first());
    if (first - 1 == row.udp_port_below) return fmt::format("down to port {}, which a UDP socket has", first - 1);
    return fmt::format("down to port {}, which is listened at", first - 1);
}

// A port can be taken once in each delay.
std::uint64_t delay_for(const Snapshot& snapshot, const NetnsTcp& row) {
    const double seconds = std::chrono::duration<double>(snapshot.interval).count();
    const auto wanted = static_cast<double>(row.window_ports_exhausted + row.window_time_wait_entries);
    const double milliseconds = 1000 * seconds * static_cast<double>(count_of(*row.local_ports)) / wanted;
    const std::uint64_t half = *row.tw_reuse_delay_ms / least_factor;
    return std::max<std::uint64_t>(static_cast<std::uint64_t>(std::min(milliseconds, static_cast<double>(half))), 1);
}

struct Step {
    ObjectKey object;
    std::uint64_t from;
    std::uint64_t to;
    std::string why;
};

// What lets ports of connections that have ended be taken again, or sooner; nullopt: they are not what is wanting, or
// are taken as soon as can be.
std::optional<Step> take_again(const Gate& gate, const NetnsTcp& row) {
    const auto reuse = reuse_in_force(row);
    if (!reuse || 2 * row.time_wait_sockets < count_of(*row.local_ports)) return std::nullopt;
    const std::uint64_t any = tunables::row(TunableId::tcp_tw_reuse).kernel_max;
    if (*reuse < any) return Step{reuse_of(row), *reuse, any, "A port in TIME_WAIT may be taken again after a second"};
    const auto now = delay_in_force(row);
    if (!now || *now >= gate.bounds_of(delay_of(row)).max) return std::nullopt;
    const std::uint64_t delay = delay_for(gate.snapshot(), row);
    return Step{delay_of(row), *now, tunables::row(TunableId::tcp_tw_reuse_delay).counts_down_from - delay,
                fmt::format("A port in TIME_WAIT may be taken again after {} ms, it would be needed after {}",
                            *row.tw_reuse_delay_ms, delay)};
}

void raise(Gate& gate, const NetnsTcp& row, Wish wish, const Step& step) {
    wish.tunable = step.object.tunable;
    wish.from = step.from;
    wish.to = step.to;
    wish.demand = step.object;
    wish.why += step.why;
    wish.reason = {
        .trial = {.object = step.object}, .cause = Cause::loss, .fitted = fitted(row), .before = measured(row)};
    gate.raise(std::move(wish));
}

// Says so where hardly any more ports are to be had, less than a quarter, and lets those be taken again that have been
// used.
bool is_bounded(Gate& gate, const NetnsTcp& row) {
    const std::uint64_t policy_max = gate.bounds_of(object_of(row)).max;
    const std::uint64_t most = std::min(most_of(gate, row), policy_max);
    const std::uint64_t now = value_in_force(row);
    if (4 * (std::max(most, now) - now) >= count_of(*row.local_ports)) return false;
    Wish finding = finding_of(row);
    finding.why += fmt::format("; not widened {}. ", what_bounds(gate, row, policy_max));
    if (auto step = take_again(gate, row)) {
        step->why += "; whoever reuses his connections (keepalive) needs none";
        raise(gate, row, std::move(finding), *step);
    } else {
        finding.why += "Let it reuse its connections (keepalive), or spread them over more addresses";
        gate.advise(std::move(finding), "bounded");
    }
    return true;
}

void judge(Gate& gate, const NetnsTcp& row) {
    const ObjectKey object = object_of(row);
    if (row.window_ports_exhausted == 0 || !row.udp_port_below) return;
    for (const ObjectKey& each : {object, reuse_of(row), delay_of(row)}) // each raise is judged before the next
        if (trial_with(gate, each) != nullptr || gate.puts_back(each) || gate.is_set_anew(each)) return;
    if (is_bounded(gate, row)) return;
    Wish wish = finding_of(row);
    const bool within_asked = count_of(*row.local_ports) >= kernel_default;
    const bool may_widen = gate.mode_of(object, within_asked) == policy::Mode::automatic;
    const bool did_not_help = gate.backs_off({.object = object});
    const auto step = may_widen && !did_not_help ? std::nullopt : take_again(gate, row);
    if (step && gate.bounds_of(step->object).named) {
        wish.why += did_not_help ? "; a wider range was tried, and did not help. "
                                 : "; the policy does not let the range be widened. ";
        return raise(gate, row, std::move(wish), *step);
    }
    wish.to = std::min(size_for(gate.snapshot(), row), most_of(gate, row));
    wish.expected = {wish.to};
    wish.reason = {.trial = {.object = object}, .cause = Cause::loss, .fitted = fitted(row), .before = measured(row)};
    wish.within_asked = within_asked;
    gate.raise(std::move(wish));
}

} // namespace

namespace local_ports {

void read(const View& view, std::vector<Reading>& readings) {
    if (view.snapshot.cause != Snapshot::Cause::tick) return;
    const auto listening = listening_below(view.snapshot);
    for (const NetnsTcp& row : view.snapshot.tcp) {
        const auto below = listening.find(row.netns);
        add(readings, [&] { return reading_of(view.snapshot, row, below != listening.end() ? below->second : 0); });
        add(readings, [&] { return reading_of(view.snapshot, row, reuse_of(row), reuse_in_force(row)); });
        add(readings, [&] { return reading_of(view.snapshot, row, delay_of(row), delay_in_force(row)); });
    }
}

// At ticks alone, of which each has all listeners that the last census found.
void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    for (const NetnsTcp& row : gate.snapshot().tcp)
        if (row.local_ports) judge(gate, row);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (NetnsTcp& row : snapshot.tcp) {
        if (const auto reused = value_of(reuse_of(row)))
            row.tw_reuse = parse_number(tunables::text_of(TunableId::tcp_tw_reuse, *reused)).value_or(0);
        if (const auto delayed = value_of(delay_of(row)))
            row.tw_reuse_delay_ms = tunables::row(TunableId::tcp_tw_reuse_delay).counts_down_from - *delayed;
        if (const auto value = row.local_ports ? value_of(object_of(row)) : std::nullopt)
            row.local_ports->first = static_cast<std::uint16_t>(value_from(*value));
    }
}

} // namespace local_ports
} // namespace bpftune::controller

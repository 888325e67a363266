// SPDX-License-Identifier: Apache-2.0
#include "controller/conntrack_timeouts.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <iterator>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "controller/conntrack.hpp"
#include "controller/gate.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

// Of the table: what less than this part of it takes is not what fills it.
constexpr std::uint64_t good_part = 5;

struct TcpState {
    TunableId tunable;
    StateEntries ConntrackStates::* entries;
    std::string_view name; // as conntrack(8) has it
};
constexpr std::array all_states{
    TcpState{TunableId::nf_conntrack_tcp_timeout_established, &ConntrackStates::established, "ESTABLISHED"},
    TcpState{TunableId::nf_conntrack_tcp_timeout_time_wait, &ConntrackStates::time_wait, "TIME_WAIT"},
    TcpState{TunableId::nf_conntrack_tcp_timeout_close_wait, &ConntrackStates::close_wait, "CLOSE_WAIT"},
};

// From a timeout to the tunable's value, which rises as that falls, and back. A timeout may be longer than that from
// which it counts down: somebody wants it so.
std::optional<std::uint64_t> value_for(TunableId tunable, std::optional<std::uint64_t> seconds) {
    const std::uint64_t from = tunables::row(tunable).counts_down_from;
    return seconds && *seconds <= from ? std::optional(from - *seconds) : std::nullopt;
}
std::uint64_t seconds_of(TunableId tunable, std::uint64_t value) {
    return tunables::row(tunable).counts_down_from - value;
}

const NetnsTcp* namespace_in(const Snapshot& snapshot, const NetnsId& netns) {
    const auto found = std::ranges::find(snapshot.tcp, netns, &NetnsTcp::netns);
    return found == snapshot.tcp.end() ? nullptr : &*found;
}

int pid_in(const Snapshot& snapshot, const NetnsId& netns) {
    const NetnsTcp* found = namespace_in(snapshot, netns);
    return found != nullptr ? found->pid : 0;
}

const Conntrack* table_in(const Snapshot& snapshot, const NetnsId& netns) {
    const auto found = std::ranges::find(snapshot.conntrack, netns, &Conntrack::netns);
    return found == snapshot.conntrack.end() ? nullptr : &*found;
}

Reading reading_of(const View& view, const ObjectKey& object, const Conntrack* table) {
    Reading reading{.object = object,
                    .netns_pid = pid_in(view.snapshot, object.netns),
                    .read = view.snapshot.time.mono,
                    .ceiling = std::nullopt,
                    .in_use = 0}; // entries that are there stay as they are
    if (const auto held = view.state.held.find(object); held != view.state.held.end())
        reading.shows_after = std::chrono::seconds(seconds_of(object.tunable, held->second.current));
    if (table == nullptr) return reading;
    reading.pod = &table->pod;
    reading.measured = tables::measured_of(*table, view.snapshot.interval);
    return reading;
}

// One that was looked into.
Reading reading_of(const View& view, const Conntrack& table, const TcpState& state) {
    Reading reading = reading_of(view, {state.tunable, table.netns}, &table);
    const StateEntries& entries = (*table.states).*state.entries;
    reading.value = value_for(state.tunable, entries.timeout_seconds);
    reading.read = table.states->read;
    reading.ceiling = value_for(state.tunable, entries.needed_seconds);
    return reading;
}

std::uint64_t percent(std::uint64_t part, const Conntrack& table) {
    return table.entries > 0 ? 100 * std::min(part, table.entries) / table.entries : 0;
}

std::string why_of(const Conntrack& table, const TcpState& state, const std::string& pressure,
                   const std::string& why_no_larger) {
    const StateEntries& entries = (*table.states).*state.entries;
    return fmt::format("{}; nf_conntrack_max cannot be raised: {}. By a sample of {} entries {} % are {}, {} % without "
                       "a packet for {} s or more, which live connections do not need",
                       pressure, why_no_larger, table.states->looked_at, percent(entries.entries, table), state.name,
                       percent(*entries.idle, table), *entries.needed_seconds);
}

// It is idle ones of this state that fill the table, and a shorter timeout would end them sooner.
bool is_worth_it(const Conntrack& table, const StateEntries& entries) {
    return entries.idle && *entries.idle * good_part >= table.entries && entries.timeout_seconds &&
           entries.needed_seconds && *entries.timeout_seconds > *entries.needed_seconds;
}

Wish finding_of(const Gate& gate, const Conntrack& table, const TcpState& state, std::uint64_t value, std::string why) {
    const StateEntries& entries = (*table.states).*state.entries;
    return {.tunable = state.tunable,
            .scope = {.netns = table.netns,
                      .netns_pid = pid_in(gate.snapshot(), table.netns),
                      .listener = std::nullopt,
                      .pod = table.pod},
            .from = value,
            .to = value,
            .why = std::move(why),
            .evidence = {{"entries", table.entries},
                         {"limit", table.limit},
                         {"of_state", entries.entries},
                         {"idle", *entries.idle},
                         {"looked_at", table.states->looked_at},
                         {"timeout_seconds", *entries.timeout_seconds},
                         {"needed_seconds", *entries.needed_seconds}},
            .demand = {state.tunable, table.netns}};
}

// Two at once for one loss could not be told apart.
bool is_on_trial(const Gate& gate, const Conntrack& table) {
    return std::ranges::any_of(
        all_states, [&](const TcpState& state) { return trial_with(gate, {state.tunable, table.netns}) != nullptr; });
}

// Those that fill the table. First the one that shows soonest what it comes to, since the others wait for that; of
// those that show as soon the one with the most idle entries.
std::vector<TcpState> candidates(const Conntrack& table) {
    const auto entries_of = [&](const TcpState& state) -> const StateEntries& {
        return (*table.states).*state.entries;
    };
    std::vector<TcpState> found;
    std::ranges::copy_if(all_states, std::back_inserter(found),
                         [&](const TcpState& state) { return is_worth_it(table, entries_of(state)); });
    std::ranges::stable_sort(found, {}, [&](const TcpState& state) {
        const StateEntries& entries = entries_of(state);
        return std::pair(*entries.needed_seconds, -static_cast<double>(*entries.idle));
    });
    return found;
}

void judge(Gate& gate, const Conntrack& table, const TcpState& state, const Wish& limit, const std::string& no_larger) {
    const StateEntries& entries = (*table.states).*state.entries;
    const ObjectKey object{state.tunable, table.netns};
    const auto value = value_for(state.tunable, entries.timeout_seconds);
    const auto to = value_for(state.tunable, entries.needed_seconds);
    if (!value || !to || gate.puts_back(object)) return;
    Wish wish = finding_of(gate, table, state, *value, why_of(table, state, limit.why, no_larger));
    const policy::TunablePolicy bounds = gate.bounds_of(ObjectKey{state.tunable, table.netns});
    if (!bounds.named) {
        wish.why += fmt::format(". {} named in the policy, it would be lowered from {} s to {} s",
                                tunables::row(state.tunable).name, *entries.timeout_seconds, *entries.needed_seconds);
        return gate.advise(std::move(wish), "opt-in");
    }
    if (is_on_trial(gate, table)) return; // each is judged before the next
    wish.to = *to;
    wish.why += fmt::format(": lowered from {} s to {} s, for entries that are there from their next packet on",
                            *entries.timeout_seconds, seconds_of(state.tunable, std::min(wish.to, bounds.max)));
    const Measured before = tables::measured_of(table, gate.snapshot().interval);
    wish.reason = {.trial = {.object = object},
                   .cause = limit.reason.cause,
                   .fitted = before.use - before.losses,
                   .before = before};
    gate.raise(std::move(wish));
}

} // namespace

namespace timeouts {

void read(const View& view, std::vector<Reading>& readings) {
    if (view.snapshot.cause != Snapshot::Cause::tick) return;
    for (const Conntrack& table : view.snapshot.conntrack)
        if (table.states)
            for (const TcpState& state : all_states) add(readings, [&] { return reading_of(view, table, state); });
    for (const TcpState& state : all_states) { // ours, while there is no need to look
        const auto& held = view.state.held;
        for (auto each = held.lower_bound({state.tunable, {}, 0});
             each != held.end() && each->first.tunable == state.tunable; ++each) {
            const NetnsId& netns = each->first.netns;
            const Conntrack* table = table_in(view.snapshot, netns);
            if (table != nullptr && table->states) continue;
            if (table != nullptr || namespace_in(view.snapshot, netns) != nullptr)
                add(readings, [&] { return reading_of(view, each->first, table); });
        }
    }
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    if (snapshot.cause != Snapshot::Cause::tick) return;
    for (const Conntrack& table : snapshot.conntrack) {
        const std::vector<TcpState> states = table.states ? candidates(table) : std::vector<TcpState>();
        if (states.empty()) continue;
        const auto wish = tables::wish_of(gate, table);
        const auto no_larger = wish ? gate.why_no_further(*wish) : std::nullopt;
        if (!no_larger) continue;
        for (const TcpState& state : states) judge(gate, table, state, *wish, *no_larger);
    }
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (Conntrack& table : snapshot.conntrack) {
        if (!table.states) continue;
        for (const TcpState& state : all_states)
            if (const auto value = value_of({state.tunable, table.netns}))
                ((*table.states).*state.entries).timeout_seconds = seconds_of(state.tunable, *value);
    }
}

} // namespace timeouts
} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/congestion.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <string_view>

#include <fmt/format.h>

#include "controller/cost.hpp"
#include "controller/gate.hpp"
#include "core/text.hpp"
#include "core/words.hpp"
#include "tunables/codec.hpp"

namespace bpftune::controller {
namespace {

constexpr TunableId tunable = TunableId::tcp_congestion_control;
constexpr std::string_view best = "bbr";
// Those that take each loss for a full queue. The others were somebody's choice for a network that he knows.
constexpr std::array<std::string_view, 2> held_back_by_loss{"cubic", "reno"};

ObjectKey object_of(const TcpBuffers& row) { return {tunable, row.netns}; }

std::optional<std::uint64_t> value_in(const TcpBuffers& row) {
    return row.congestion_control ? tunables::known_value(tunable, *row.congestion_control) : std::nullopt;
}

bool is_listed(const Snapshot& snapshot, std::string_view word) {
    return snapshot.allowed_congestion_control &&
           fmt::format(" {} ", *snapshot.allowed_congestion_control).contains(fmt::format(" {} ", word));
}

// Of the host's list, each a bit.
std::uint64_t listed(const Snapshot& snapshot) {
    const auto words = tunables::row(tunable).words;
    std::uint64_t bits = 0;
    for (std::size_t i = 0; i < words.size(); ++i)
        if (is_listed(snapshot, words[i])) bits |= std::uint64_t{1} << i;
    return bits;
}

// The kernel refuses what is not listed everywhere but in the host's own namespace, the present one too once another is
// in its place (net/ipv4/tcp_cong.c, tcp_set_default_congestion_control).
std::uint64_t words_in(const Snapshot& snapshot, const TcpBuffers& row, std::uint64_t allowed) {
    if (row.netns == snapshot.host) return no_limit;
    const auto present = value_in(row);
    return present && (allowed >> *present & 1) != 0 ? allowed : 0;
}

Reading reading_of(const Snapshot& snapshot, const TcpBuffers& row, std::uint64_t allowed) {
    Reading reading{.object = object_of(row),
                    .netns_pid = row.pid,
                    .pod = &row.pod,
                    .value = value_in(row),
                    .read = snapshot.time.mono,
                    .words = words_in(snapshot, row, allowed),
                    .in_use = 0};
    if (row.losing) reading.raised = row.losing->raised;
    return reading;
}

std::string why_of(const TcpBuffers& row, const HeldBack& losing) {
    std::string why =
        fmt::format("{} connection{} of {} {} held back by losses that no queue goes before", losing.flows,
                    losing.flows == 1 ? "" : "s", netns_text(row.netns, row.pod), losing.flows == 1 ? "is" : "are");
    if (!losing.largest) return why;
    const HeldFlow& flow = *losing.largest;
    return why + fmt::format(": {} (pid {}) {} -> {} moves {} a second in round trips of {:.1f} ms, by {}",
                             flow.command, flow.pid, to_string(flow.local), to_string(flow.remote),
                             size_text(flow.bytes_per_second), static_cast<double>(flow.round_trip_us) / 1000,
                             *row.congestion_control);
}

Wish wish_of(const Reading& reading, const TcpBuffers& row) {
    const HeldBack& losing = *row.losing;
    std::vector<Evidence> evidence{{"held_back", losing.flows}, {"bytes_per_second", losing.bytes_per_second}};
    if (losing.largest) evidence.push_back({"round_trip_us", losing.largest->round_trip_us});
    return {.tunable = tunable,
            .scope = reading.scope(),
            .from = *reading.value,
            .to = tunables::value_of(tunable, best).value(),
            .why = why_of(row, losing),
            .evidence = std::move(evidence),
            .reason = {.trial = {.object = reading.object}, .cause = Cause::loss, .fitted = *reading.value},
            .demand = reading.object};
}

// A raise of a buffer fills a short queue past its end, and what is lost by that is sent again for seconds after it was
// taken back: without SACK one packet in a round trip (net/ipv4/tcp_input.c, tcp_fastretrans_alert). By then no queue
// is left to be seen. Which namespace has the other end of a connection is not known, so a raise in any of them counts.
constexpr Nanoseconds settling = std::chrono::seconds(10);
constexpr std::array<TunableId, 2> buffer_sizes{TunableId::tcp_rmem, TunableId::tcp_wmem};

bool may_be_our_doing(const Gate& gate) {
    const State& state = gate.state();
    const auto is_size = [](const ObjectKey& object) {
        return std::ranges::find(buffer_sizes, object.tunable) != buffer_sizes.end();
    };
    const auto is_on_trial = [&](const auto& each) { return is_size(each.first.object); };
    const auto is_fresh = [&](const auto& each) {
        return is_size(each.first) && !each.second.empty() && gate.now() < each.second.back() + settling;
    };
    return std::ranges::any_of(state.trials, is_on_trial) || std::ranges::any_of(state.changes, is_fresh);
}

// In the host's own namespace the kernel takes any, and lists it from then on: every namespace may choose it, and no
// undo takes that back (net/ipv4/tcp_cong.c, tcp_set_default_congestion_control). That is for a policy's min alone.
bool are_both_listed(const Snapshot& snapshot, const TcpBuffers& row, std::uint64_t value) {
    return is_listed(snapshot, tunables::text_of(tunable, value)) && is_listed(snapshot, *row.congestion_control);
}

// Why it is not set: the kernel would not take it, or not take the present one back; or would allow it to everybody.
std::string why_not(const Snapshot& snapshot, const TcpBuffers& row, std::uint64_t value) {
    const bool is_host = row.netns == snapshot.host;
    std::string why =
        is_host ? "set here, it would be allowed to every namespace for good" : "only the host can allow it";
    if (is_listed(snapshot, tunables::text_of(tunable, value)))
        why = fmt::format(fmt::runtime(is_host ? "taken back to {} here, that would be allowed to every namespace"
                                               : "it could not be taken back to {}, which only the host can allow"),
                          *row.congestion_control);
    return fmt::format("{}: net.ipv4.tcp_allowed_congestion_control lists {}", why,
                       snapshot.allowed_congestion_control.value_or("what is not known"));
}

constexpr std::string_view not_allowed = "not allowed";

// Whether there is a policy's min that is not tried for that, which is said.
bool is_min_refused(Gate& gate, const TcpBuffers& row) {
    if (!gate.policy().of(tunable).min) return false; // entries of pods have none
    const Reading& reading = *gate.readings().find(object_of(row));
    const auto min = gate.bounds_of(reading.object).min;
    if (!min || !reading.value || *reading.value >= *min || reading.takes_word(*min)) return false;
    gate.advise({.tunable = tunable,
                 .scope = reading.scope(),
                 .from = *reading.value,
                 .to = *reading.value,
                 .why = fmt::format("{} is below the policy's min, {}; not set: {}", *row.congestion_control,
                                    tunables::text_of(tunable, *min), why_not(gate.snapshot(), row, *min)),
                 .demand = reading.object},
                not_allowed);
    return true;
}

void judge(Gate& gate, const TcpBuffers& row) {
    const ObjectKey object = object_of(row);
    if (!row.losing || row.losing->flows == 0 || gate.puts_back(object)) return;
    const Reading& reading = *gate.readings().find(object);
    if (!reading.value || std::ranges::find(held_back_by_loss, *row.congestion_control) == held_back_by_loss.end())
        return;
    if (trial_with(gate, object) != nullptr) return;
    Wish wish = wish_of(reading, row);
    if (are_both_listed(gate.snapshot(), row, wish.to)) {
        gate.raise(std::move(wish));
        return;
    }
    wish.why += fmt::format("; {} may help, and {}", best, why_not(gate.snapshot(), row, wish.to));
    wish.to = wish.from;
    gate.advise(std::move(wish), not_allowed);
}

} // namespace

namespace congestion_control {

void read(const View& view, std::vector<Reading>& readings) {
    const std::uint64_t allowed = listed(view.snapshot);
    for (const TcpBuffers& row : view.snapshot.buffers)
        add(readings, [&] { return reading_of(view.snapshot, row, allowed); });
}

// At ticks alone, which know what the host allows.
void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    const bool may_be_ours = may_be_our_doing(gate);
    for (const TcpBuffers& row : gate.snapshot().buffers)
        if (!is_min_refused(gate, row) && !may_be_ours) judge(gate, row);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (TcpBuffers& row : snapshot.buffers)
        if (const auto value = value_of(object_of(row))) {
            row.congestion_control = tunables::text_of(tunable, *value);
            if (row.losing) row.losing = HeldBack{.set_by_application = row.losing->set_by_application};
        }
}

} // namespace congestion_control
} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/fragments.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "controller/gate.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t kernel_default = 4ULL << 20; // net/ipv4/ip_fragment.c, ipv4_frags_init_net(), and IPv6's
constexpr std::uint64_t least_factor = 2;
constexpr std::uint64_t most_factor = 4;

TunableId tunable_of(const Fragments& row) {
    return row.family == Family::ipv4 ? TunableId::ipfrag_high_thresh : TunableId::ip6frag_high_thresh;
}

ObjectKey object_of(const Fragments& row) { return {tunable_of(row), row.netns}; }

// Of those that came; an older recording does not have these. The counters are not read at one instant.
std::uint64_t arrived(const Fragments& row) {
    return std::max(row.window_arrived, row.window_reassembled + row.window_failed);
}

// What failed for another reason counts against a raise as well: whether it did is not known, and a raise that is taken
// back harms nobody.
Measured measured(const Fragments& row) {
    return {.losses = row.window_failed, .demand = arrived(row), .use = row.window_reassembled};
}

// In quarters of a power of two.
std::uint64_t rounded_up(std::uint64_t bytes) {
    const std::uint64_t step = std::max<std::uint64_t>(std::bit_floor(bytes) / 4, 1);
    return (bytes + step - 1) / step * step;
}

// Those that found room filled the limit; all that came would have filled so many times as much. What is left of
// datagrams that lost a part fills the limit as it was, until that is given up.
std::uint64_t size_for(const Fragments& row, bool on_ramp) {
    const std::uint64_t least = (on_ramp ? most_factor : least_factor) * row.limit_bytes;
    if (row.window_arrived <= row.window_failed) return least;
    const std::uint64_t needed = row.limit_bytes * row.window_arrived / (row.window_arrived - row.window_failed);
    return std::clamp(row.limit_bytes + needed, least, most_factor * row.limit_bytes);
}

Reading reading_of(const Snapshot& snapshot, const Fragments& row) {
    return {.object = object_of(row),
            .netns_pid = row.pid,
            .pod = &row.pod,
            .value = row.limit_bytes,
            .read = snapshot.time.mono,
            .in_use = 0,                  // those that wait stay when it is lowered
            .charged = row.fullest_bytes, // more may have been between two looks: how much is needed is not seen
            .measured = measured(row)};
}

Wish finding_of(const Fragments& row) {
    return {.tunable = tunable_of(row),
            .scope = {.netns = row.netns, .netns_pid = row.pid, .listener = std::nullopt, .pod = row.pod},
            .from = row.limit_bytes,
            .to = row.limit_bytes,
            .why = fmt::format("{} {} fragments were dropped in a second or so, where {} of {} bytes were in use; in "
                               "the last minute {} datagrams were put together and {} timed out",
                               row.window_failed, row.family == Family::ipv4 ? "IPv4" : "IPv6", row.fullest_bytes,
                               row.limit_bytes, row.recent_reassembled, row.recent_timed_out),
            .evidence = {{"failed", row.window_failed},
                         {"reassembled", row.window_reassembled},
                         {"memory", row.fullest_bytes},
                         {"limit", row.limit_bytes},
                         {"recent_reassembled", row.recent_reassembled},
                         {"recent_timed_out", row.recent_timed_out}},
            .demand = object_of(row)};
}

void advise(Gate& gate, const Fragments& row) {
    Wish finding = finding_of(row);
    finding.why += ": who sends most of them does not complete them, and would fill any limit";
    if (row.limit_bytes < kernel_default)
        finding.why += fmt::format(", or the rest of them finds no room either: the kernel's own limit is {} bytes",
                                   kernel_default);
    finding.why += ". Find out who sends fragments, or let less time pass until they are dropped (ipfrag_time, "
                   "ip6frag_time)";
    gate.advise(std::move(finding), "never_completed");
}

void judge(Gate& gate, const Fragments& row) {
    const ObjectKey object = object_of(row);
    if (row.window_failed == 0 || !row.was_near_limit() || gate.puts_back(object)) return;
    if (trial_with(gate, object) != nullptr) return; // each raise is judged before the next
    if (row.recent_timed_out > row.recent_reassembled) return advise(gate, row);
    if (!row.is_completed()) return; // time tells
    Wish wish = finding_of(row);
    wish.to = rounded_up(size_for(row, gate.is_on_ramp(object)));
    wish.expected = {wish.to};
    wish.reason = {
        .trial = {.object = object}, .cause = Cause::loss, .fitted = row.window_reassembled, .before = measured(row)};
    wish.within_asked = row.limit_bytes >= kernel_default;
    gate.raise(std::move(wish));
}

} // namespace

namespace reassembly {

void read(const View& view, std::vector<Reading>& readings) {
    if (view.snapshot.cause != Snapshot::Cause::tick) return;
    for (const Fragments& row : view.snapshot.fragments) add(readings, [&] { return reading_of(view.snapshot, row); });
}

void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    for (const Fragments& row : gate.snapshot().fragments) judge(gate, row);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (Fragments& row : snapshot.fragments) row.limit_bytes = value_of(object_of(row)).value_or(row.limit_bytes);
}

} // namespace reassembly
} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "controller/udp_buffers.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "controller/flood.hpp"
#include "controller/gate.hpp"
#include "controller/trial.hpp"
#include "core/words.hpp"

namespace bpftune::controller {
namespace {

// sk_buff and half a page for a datagram of 1,000 bytes: what the kernel counts (truesize).
constexpr std::uint64_t datagram_bytes = 2304;
// The next burst may be twice the last.
constexpr std::uint64_t headroom = 2;
// So many times what fitted is believed to have been lost.
constexpr std::uint64_t lost_for_what_fitted = 2;

ObjectKey object_of(const UdpSocket& socket) { return {TunableId::udp_rcvbuf, socket.netns, socket.cookie}; }

std::string name_of(const UdpSocket& socket) {
    return fmt::format("{} ({})", to_string(socket.local), socket.pod ? pod_text(*socket.pod) : socket.command);
}

// Of datagrams, within a tick: the buffer's own peak is over before anybody looks.
Measured measured(const UdpSocket& socket) {
    const std::uint64_t came = socket.window_received + socket.window_overflows;
    return {.losses = socket.window_overflows, .demand = came, .use = came};
}

// How much of it a burst needs is not seen, so it is kept for as long as anything comes.
Use use_of(const UdpSocket& socket) {
    return {.used = socket.queue_bytes,
            .wanted = socket.window_received > 0 ? socket.buffer_bytes : 0,
            .pressed = socket.window_overflows > 0};
}

Reading reading_of(const UdpSocket& socket) {
    return {.object = object_of(socket),
            .netns_pid = socket.pid,
            .udp = &socket,
            .pod = &socket.pod,
            .value = socket.buffer_bytes,
            .read = socket.read,
            .in_use = socket.queue_bytes,
            .use = use_of(socket),
            .charged = socket.queue_bytes,
            .measured = measured(socket),
            .counts = socket.is_read_slowly() || socket.has_bursts() ? Counts::yes : Counts::undecided};
}

std::vector<Evidence> evidence_of(const UdpSocket& socket) {
    return {{"overflows", socket.recent_overflows},
            {"most_dropped_in_a_look", socket.most_dropped},
            {"looks", socket.looks},
            {"looks_past_half", socket.looks_past_half},
            {"buffer", socket.buffer_bytes}};
}

// A table of connections that nobody answers speaks for one.
const std::optional<std::string>* flood_of(const Snapshot& snapshot, const NetnsId& netns) {
    const auto table = std::ranges::find(snapshot.conntrack, netns, &Conntrack::netns);
    return table == snapshot.conntrack.end() ? nullptr : &table->flood;
}

void raise(Gate& gate, const UdpSocket& socket) {
    const ObjectKey object = object_of(socket);
    if (const auto* flood = flood_of(gate.snapshot(), socket.netns))
        note_flood(gate.state(), {.demand = object, .object = object, .limit = socket.buffer_bytes}, *flood,
                   gate.now());
    const std::uint64_t expected = datagrams::size_for(socket);
    // Three looks after it began the burst may be over.
    const Measured before{.losses = std::max<std::uint64_t>(socket.last_overflows, 1),
                          .demand = socket.last_received + socket.last_overflows};
    std::string why = fmt::format(
        "{} lost {} datagrams to bursts, {} of them at most between two looks; its buffer of {} bytes was no more "
        "than half full in {} of {} looks",
        name_of(socket), socket.recent_overflows, socket.most_dropped, socket.buffer_bytes,
        socket.looks - socket.looks_past_half, socket.looks);
    if (socket.set_by_application) why += "; the application set that size (SO_RCVBUF)";
    gate.raise({.tunable = TunableId::udp_rcvbuf,
                .scope = scope_of(socket),
                .from = socket.buffer_bytes,
                .to = std::bit_ceil(expected),
                .why = std::move(why),
                .expected = {expected},
                .evidence = evidence_of(socket),
                .reason = {.trial = {.object = object},
                           .cause = Cause::loss,
                           .fitted = socket.last_received,
                           .before = before},
                .demand = object,
                .within_asked = !socket.set_by_application});
}

void say_that_it_is_slow(Gate& gate, const UdpSocket& socket) {
    gate.advise({.tunable = TunableId::udp_rcvbuf,
                 .scope = scope_of(socket),
                 .from = socket.buffer_bytes,
                 .to = socket.buffer_bytes,
                 .why = fmt::format("{} lost {} datagrams, and more than half of its buffer of {} bytes was in use in "
                                    "{} of {} looks: it is read too slowly, or not at all, which a larger one would "
                                    "only delay; nothing raised",
                                    name_of(socket), socket.recent_overflows, socket.buffer_bytes,
                                    socket.looks_past_half, socket.looks),
                 .evidence = evidence_of(socket)},
                "slow reader");
}

void judge(Gate& gate, const UdpSocket& socket) {
    if (socket.recent_overflows == 0 || gate.puts_back(object_of(socket))) return;
    if (socket.is_read_slowly()) say_that_it_is_slow(gate, socket);
    if (trial_with(gate, object_of(socket)) != nullptr) return; // each raise is judged before the next
    if (socket.has_bursts() && socket.most_dropped > 0) raise(gate, socket);
}

// What a larger one would have taken in was not lost.
void show_value(UdpSocket& socket, std::uint64_t value) {
    const std::uint64_t more = value - std::min(value, socket.buffer_bytes);
    const auto taken_in = [&](std::uint64_t& lost) { lost -= std::min(lost, more / datagram_bytes); };
    for (std::uint64_t* lost :
         {&socket.window_overflows, &socket.last_overflows, &socket.recent_overflows, &socket.most_dropped})
        taken_in(*lost);
    socket.buffer_bytes = value;
}

} // namespace

namespace datagrams {

std::uint64_t size_for(const UdpSocket& socket) {
    const std::uint64_t lost =
        std::min(socket.most_dropped * datagram_bytes, lost_for_what_fitted * socket.buffer_bytes);
    return headroom * (socket.buffer_bytes + lost);
}

void read(const View& view, std::vector<Reading>& readings) {
    for (const UdpSocket& socket : view.snapshot.udp) add(readings, [&] { return reading_of(socket); });
}

// At ticks alone: what a namespace received is known of these.
void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    for (const UdpSocket& socket : gate.snapshot().udp) judge(gate, socket);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (UdpSocket& socket : snapshot.udp)
        if (const auto value = value_of(object_of(socket))) show_value(socket, *value);
}

} // namespace datagrams
} // namespace bpftune::controller

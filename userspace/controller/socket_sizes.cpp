// SPDX-License-Identifier: Apache-2.0
#include "controller/socket_sizes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include <fmt/format.h>

#include "controller/gate.hpp"
#include "controller/trial.hpp"
#include "controller/udp_buffers.hpp"
#include "core/text.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t doubled = 2;       // net/core/sock.c, __sock_set_rcvbuf(): for what is counted beside the data
constexpr std::size_t enough_to_speak = 2; // sockets, for a default that all begin with

constexpr std::array values{std::pair(TunableId::rmem_max, &SocketSizes::rmem_max),
                            std::pair(TunableId::wmem_max, &SocketSizes::wmem_max),
                            std::pair(TunableId::rmem_default, &SocketSizes::rmem_default),
                            std::pair(TunableId::wmem_default, &SocketSizes::wmem_default)};

// Sockets that a value is too small for.
struct Needing {
    std::size_t sockets = 0;
    std::uint64_t buffer = 0; // that the largest of them needs, in bytes
    const UdpSocket* largest = nullptr;
};

// Whose buffer was this one before anything raised it, and was found too small: by a raise that was kept, or by bursts
// now.
void count(Needing& needing, const Gate& gate, const UdpSocket& socket, std::uint64_t buffer) {
    const ObjectKey object{TunableId::udp_rcvbuf, socket.netns, socket.cookie};
    const Held* held = gate.held(object);
    std::uint64_t needed = 0;
    if (held != nullptr) {
        if (held->original != buffer || trial_with(gate.state(), object) != nullptr) return;
        needed = held->current;
    } else {
        if (socket.buffer_bytes != buffer || socket.recent_overflows == 0 || socket.most_dropped == 0) return;
        if (!socket.has_bursts()) return;
        needed = datagrams::size_for(socket);
    }
    ++needing.sockets;
    if (needed <= needing.buffer) return;
    needing.buffer = needed;
    needing.largest = &socket;
}

Needing needing_more(const Gate& gate, TunableId tunable, bool set_by_application, std::uint64_t buffer) {
    Needing needing;
    for (const UdpSocket& socket : gate.snapshot().udp)
        if (socket.set_by_application == set_by_application && gate.asks(tunable, socket.netns))
            count(needing, gate, socket, buffer);
    return needing;
}

std::string name_of(const UdpSocket& socket) {
    return fmt::format("{} ({})", to_string(socket.local),
                       socket.pod ? printable(socket.pod->ns + "/" + socket.pod->name) : socket.command);
}

void say(Gate& gate, TunableId tunable, std::uint64_t value, std::uint64_t wanted, const Needing& needing,
         const std::string& why) {
    const std::uint64_t size = std::min(std::bit_ceil(wanted), gate.bounds_of(tunable, gate.snapshot().host).max);
    if (size <= value) return;
    const ObjectKey object{tunable, gate.snapshot().host};
    gate.advise(
        {.tunable = tunable,
         .scope = {.netns = object.netns},
         .from = value,
         .to = value,
         .why = fmt::format("{}. A min of {} in the policy sets it, for sockets that are made after it: running "
                            "ones keep theirs until {} starts again",
                            why, size, name_of(*needing.largest)),
         .evidence = {{"sockets", needing.sockets}, {"limit", value}, {"buffer_needed", needing.buffer}},
         .demand = object},
        "later sockets");
}

void judge_max(Gate& gate, std::uint64_t max) {
    const Needing needing = needing_more(gate, TunableId::rmem_max, true, doubled * max);
    if (needing.largest == nullptr) return;
    say(gate, TunableId::rmem_max, max, (needing.buffer + 1) / doubled, needing,
        fmt::format("{} needs more for its bursts than SO_RCVBUF gets it: its buffer was set to exactly twice this, "
                    "{} bytes, so its application asked for more or for just that",
                    name_of(*needing.largest), doubled * max));
}

void judge_default(Gate& gate, std::uint64_t size) {
    const Needing needing = needing_more(gate, TunableId::rmem_default, false, size);
    if (needing.sockets < enough_to_speak) return;
    say(gate, TunableId::rmem_default, size, needing.buffer, needing,
        fmt::format("{} UDP sockets that set no size need more for their bursts than the {} bytes that they began "
                    "with, {} the most",
                    needing.sockets, size, name_of(*needing.largest)));
}

} // namespace

namespace sizes {

void read(const View& view, std::vector<Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    for (const auto& [tunable, member] : values)
        readings.push_back({.object = {tunable, snapshot.host},
                            .value = snapshot.socket_sizes.*member,
                            .read = snapshot.time.mono,
                            .in_use = 0}); // a socket keeps what it has
}

void rule(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    if (snapshot.cause != Snapshot::Cause::tick) return;
    if (const auto& max = snapshot.socket_sizes.rmem_max) judge_max(gate, *max);
    if (const auto& size = snapshot.socket_sizes.rmem_default) judge_default(gate, *size);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (const auto& [tunable, member] : values)
        if (auto& value = snapshot.socket_sizes.*member) value = value_of({tunable, snapshot.host}).value_or(*value);
}

} // namespace sizes
} // namespace bpftune::controller

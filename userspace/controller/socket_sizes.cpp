// SPDX-License-Identifier: Apache-2.0
#include "controller/socket_sizes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "controller/cost.hpp"
#include "controller/flood.hpp"
#include "controller/gate.hpp"
#include "controller/tenant.hpp"
#include "controller/trial.hpp"
#include "controller/udp_buffers.hpp"
#include "core/words.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t doubled = 2;       // net/core/sock.c, __sock_set_rcvbuf(): for what is counted beside the data
constexpr std::uint64_t next_try = 2;      // what a connection would fill is not known: by steps, as tcp_rmem is raised
constexpr std::size_t enough_to_speak = 2; // sockets, for a default that all begin with

constexpr std::array values{std::pair(TunableId::rmem_max, &SocketSizes::rmem_max),
                            std::pair(TunableId::wmem_max, &SocketSizes::wmem_max),
                            std::pair(TunableId::rmem_default, &SocketSizes::rmem_default),
                            std::pair(TunableId::wmem_default, &SocketSizes::wmem_default)};

// A most, and the connections whose application was given it.
struct Ceiling {
    TunableId tunable;
    std::optional<std::uint64_t> SocketSizes::* value;
    std::optional<HeldBack> TcpBuffers::* held_back;
    std::string_view option;
    std::string_view arrow;
};
constexpr Ceiling receive_ceiling{TunableId::rmem_max, &SocketSizes::rmem_max, &TcpBuffers::receiving, "SO_RCVBUF",
                                  "<-"};
constexpr Ceiling send_ceiling{TunableId::wmem_max, &SocketSizes::wmem_max, &TcpBuffers::sending, "SO_SNDBUF", "->"};

// How well it is known that a UDP socket needs more.
enum class Proof {
    weak,   // bursts overflow it while a raise of its own may be tried, or one was kept without a test
    bursts, // they overflow it, and no raise of its own may be tried
    trial,  // its own raise was kept, as less was lost, and its queue was seen beyond the old buffer
};

// Sockets that a value is too small for.
struct Needing {
    std::vector<std::uint64_t> buffers; // that each of them needs, in bytes
    std::uint64_t most = 0;             // of these
    std::string who;                    // needs that
    std::string why;                    // in words that go before those on what is to be done
    Askers askers;                      // whose they are

    void add(const Tenant& tenant, std::uint64_t buffer, std::size_t sockets = 1) {
        buffers.insert(buffers.end(), sockets, buffer);
        askers.add(tenant, buffer);
    }
};

std::string name_of(const UdpSocket& socket) {
    return fmt::format("{} ({})", to_string(socket.local), socket.pod ? pod_text(*socket.pod) : socket.command);
}

struct UdpNeed {
    std::uint64_t buffer = 0;
    Proof proof{};
};

// What it needs if its buffer was this one before anything of ours raised it, and was found too small.
std::optional<UdpNeed> need_of(const Gate& gate, const UdpSocket& socket, std::uint64_t buffer) {
    const ObjectKey object{TunableId::udp_rcvbuf, socket.netns, socket.cookie};
    if (const Held* held = gate.held(object)) {
        if (held->original != buffer || trial_with(gate, object) != nullptr) return std::nullopt;
        return UdpNeed{held->current, held->untested || held->undo ? Proof::weak : Proof::trial};
    }
    if (socket.buffer_bytes != buffer || socket.recent_overflows == 0 || socket.most_dropped == 0) return std::nullopt;
    if (!socket.has_bursts() || gate.backs_off({.object = object})) return std::nullopt; // more did not help
    const bool may_be_tried = gate.mode_of(object, !socket.set_by_application) == policy::Mode::automatic;
    const bool is_flooded = flood_at(gate.state(), object, gate.now()) != nullptr;
    return UdpNeed{datagrams::size_for(socket), may_be_tried || is_flooded ? Proof::weak : Proof::bursts};
}

Needing needing_datagrams(const Gate& gate, TunableId tunable, bool set_by_application, std::uint64_t buffer,
                          Proof least) {
    Needing needing;
    for (const UdpSocket& socket : gate.snapshot().udp) {
        if (socket.set_by_application != set_by_application || !gate.asks(tunable, socket)) continue;
        const auto need = need_of(gate, socket, buffer);
        if (!need || need->proof < least) continue;
        needing.add(tenant_in(gate.snapshot(), socket.netns, socket.pod), need->buffer);
        if (need->buffer <= needing.most) continue;
        needing.most = need->buffer;
        needing.who = name_of(socket);
    }
    return needing;
}

std::string who_is(const TcpBuffers& row, const HeldFlow& flow) {
    return row.pod ? pod_text(*row.pod) : fmt::format("{} (pid {})", flow.command, flow.pid);
}

// Its own end of the fastest of them leads.
Needing needing_connections(const Gate& gate, const Ceiling& ceiling, std::uint64_t value) {
    Needing needing;
    const HeldFlow* fastest = nullptr;
    for (const TcpBuffers& row : gate.snapshot().buffers) {
        const std::optional<HeldBack>& held = row.*ceiling.held_back;
        if (!held || held->at_ceiling.value_or(0) == 0 || !held->largest_at_ceiling) continue;
        if (!gate.asks(ceiling.tunable, row.netns)) continue;
        needing.most = next_try * doubled * value;
        needing.add(tenant_in(gate.snapshot(), row.netns, row.pod), needing.most, *held->at_ceiling);
        const HeldFlow& flow = *held->largest_at_ceiling;
        if (fastest != nullptr && flow.bytes_per_second <= fastest->bytes_per_second) continue;
        fastest = &flow;
        needing.who = who_is(row, flow);
    }
    if (fastest == nullptr) return needing;
    needing.why = fmt::format("{} is held back by its {}, which was set to exactly twice this, {} bytes, so its "
                              "application asked for more or for just that: {} {} {} moves {} a second in round trips "
                              "of {:.1f} ms",
                              needing.who, ceiling.option, doubled * value, to_string(fastest->local), ceiling.arrow,
                              to_string(fastest->remote), size_text(fastest->bytes_per_second),
                              static_cast<double>(fastest->round_trip_us) / 1000);
    return needing;
}

bool is_named(const Gate& gate, TunableId tunable) {
    const NetnsId& host = gate.snapshot().host;
    return gate.bounds_of(ObjectKey{tunable, host}).named && gate.mode_of({tunable, host}) != policy::Mode::observe;
}

Wish wish_of(const Gate& gate, TunableId tunable, std::uint64_t value, const Needing& needing) {
    const ObjectKey object{tunable, gate.snapshot().host};
    return {.tunable = tunable,
            .scope = {.netns = object.netns},
            .from = value,
            .to = value,
            .why = needing.why,
            .evidence = {{"sockets", needing.buffers.size()}, {"limit", value}, {"buffer_needed", needing.most}},
            .reason = {.trial = {.object = object}, .cause = Cause::loss},
            .demand = object};
}

// `each_unit`: bytes of a buffer that one of the value stands for.
void raise(Gate& gate, TunableId tunable, std::uint64_t value, std::uint64_t each_unit, const Needing& needing) {
    const auto units = [&](std::uint64_t buffer) { return (buffer + each_unit - 1) / each_unit; };
    Wish wish = wish_of(gate, tunable, value, needing);
    wish.to = std::bit_ceil(units(needing.most));
    for (const std::uint64_t buffer : needing.buffers) wish.expected.push_back(units(buffer));
    wish.why += fmt::format(
        ". It is for sockets that are made after it: running ones keep theirs until {} starts again", needing.who);
    ask_for(wish, needing.askers.alone());
    gate.raise(std::move(wish));
}

// `by`: what would set it, in words that precede "to N".
void say(Gate& gate, TunableId tunable, std::uint64_t value, std::uint64_t each_unit, const Needing& needing,
         std::string_view by) {
    const std::uint64_t most = gate.bounds_of(ObjectKey{tunable, gate.snapshot().host}).max;
    const std::uint64_t size = std::min(std::bit_ceil((needing.most + each_unit - 1) / each_unit), most);
    if (size <= value) return;
    Wish wish = wish_of(gate, tunable, value, needing);
    wish.why +=
        fmt::format(". {} {}, for sockets that are made after it: running ones keep theirs until {} starts again", by,
                    size, needing.who);
    gate.advise(std::move(wish), "later sockets");
}

constexpr std::string_view by_naming = "Where the policy names it, in mode auto, it is raised to";
constexpr std::string_view by_min = "A min in the policy sets it, to";

Needing needing_more(const Gate& gate, const Ceiling& ceiling, std::uint64_t value, Proof least) {
    Needing connections = needing_connections(gate, ceiling, value);
    if (ceiling.tunable != TunableId::rmem_max) return connections; // who sends datagrams is not looked at
    Needing datagrams = needing_datagrams(gate, ceiling.tunable, true, doubled * value, least);
    if (!datagrams.buffers.empty())
        datagrams.why = fmt::format("{} needs more for its bursts than SO_RCVBUF gets it: its buffer was set to "
                                    "exactly twice this, {} bytes, so its application asked for more or for just that",
                                    datagrams.who, doubled * value);
    Needing& first = datagrams.most >= connections.most ? datagrams : connections;
    const Needing& other = &first == &datagrams ? connections : datagrams;
    first.buffers.insert(first.buffers.end(), other.buffers.begin(), other.buffers.end());
    first.askers.add(other.askers);
    return std::move(first);
}

// `enough`: the least proof that speaks for a raise; `needing`: who needs more, by a value and the least proof of it.
void judge(Gate& gate, TunableId tunable, const std::optional<std::uint64_t>& value, std::uint64_t each_unit,
           Proof enough, const std::function<Needing(std::uint64_t, Proof)>& needing) {
    if (!value || gate.puts_back({tunable, gate.snapshot().host})) return;
    if (const Needing proven = needing(*value, enough); !proven.buffers.empty())
        return is_named(gate, tunable) ? raise(gate, tunable, *value, each_unit, proven)
                                       : say(gate, tunable, *value, each_unit, proven, by_naming);
    if (const Needing weak = needing(*value, Proof::weak); !weak.buffers.empty())
        say(gate, tunable, *value, each_unit, weak, by_min);
}

void judge_max(Gate& gate, const Ceiling& ceiling) {
    judge(gate, ceiling.tunable, gate.snapshot().socket_sizes.*ceiling.value, doubled, Proof::bursts,
          [&](std::uint64_t value, Proof least) { return needing_more(gate, ceiling, value, least); });
}

Needing needing_larger_default(const Gate& gate, std::uint64_t size, Proof least) {
    Needing needing = needing_datagrams(gate, TunableId::rmem_default, false, size, least);
    if (needing.buffers.size() < enough_to_speak) return {};
    needing.why = fmt::format("{} UDP sockets that set no size need more for their bursts than the {} bytes that they "
                              "began with, {} the most",
                              needing.buffers.size(), size, needing.who);
    return needing;
}

// All that is made later has it, so bursts alone do not speak for it.
void judge_default(Gate& gate) {
    judge(gate, TunableId::rmem_default, gate.snapshot().socket_sizes.rmem_default, 1, Proof::trial,
          [&](std::uint64_t size, Proof least) { return needing_larger_default(gate, size, least); });
}

// Which connections have the most that there is, is told of the value as it was.
void show_ceiling(const Ceiling& ceiling, std::optional<std::uint64_t> before, Snapshot& snapshot) {
    if (snapshot.socket_sizes.*ceiling.value == before) return;
    for (TcpBuffers& row : snapshot.buffers)
        if (auto& held = row.*ceiling.held_back) {
            held->at_ceiling.reset();
            held->largest_at_ceiling.reset();
        }
}

} // namespace

namespace sizes {

void read(const View& view, std::vector<Reading>& readings) {
    const Snapshot& snapshot = view.snapshot;
    for (const auto& [tunable, member] : values)
        add(readings, [&] {
            return Reading{.object = {tunable, snapshot.host},
                           .value = snapshot.socket_sizes.*member,
                           .read = snapshot.time.mono,
                           .in_use = 0};
        }); // a socket keeps what it has
}

void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    judge_max(gate, receive_ceiling);
    judge_max(gate, send_ceiling);
    judge_default(gate);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    const SocketSizes before = snapshot.socket_sizes;
    for (const auto& [tunable, member] : values)
        if (auto& value = snapshot.socket_sizes.*member) value = value_of({tunable, snapshot.host}).value_or(*value);
    show_ceiling(receive_ceiling, before.rmem_max, snapshot);
    show_ceiling(send_ceiling, before.wmem_max, snapshot);
}

} // namespace sizes
} // namespace bpftune::controller

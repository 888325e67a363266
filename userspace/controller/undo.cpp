// SPDX-License-Identifier: Apache-2.0
#include "controller/undo.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "controller/accept_queue.hpp"
#include "tunables/undo.hpp"

namespace bpftune::controller {
namespace {

// A listener of ours on its way back that is longer than this.
const Held* longest_listener_waiting(const Gate& gate, const NetnsId& netns) {
    const Held* longest = nullptr;
    for (const auto& [object, held] : gate.state().held)
        if (object.tunable == TunableId::listener_backlog && object.netns == netns && held.undo &&
            (longest == nullptr || held.current > longest->current))
            longest = &held;
    return longest;
}

const Held* limit_waiting(const Gate& gate, const NetnsId& netns) {
    const Held* limit = gate.held({TunableId::conntrack_max, netns});
    return limit != nullptr && limit->undo ? limit : nullptr;
}

// How far it may go; `from`: not at all for now.
std::uint64_t next_step(const Gate& gate, const ObjectKey& object, const Held& held, std::uint64_t in_use) {
    const std::uint64_t to = held.undo->value;
    if (object.tunable == TunableId::somaxconn) {
        const Held* listener = longest_listener_waiting(gate, object.netns);
        return std::clamp(listener != nullptr ? listener->current : to, to, held.current);
    }
    if (object.tunable == TunableId::conntrack_buckets && limit_waiting(gate, object.netns) != nullptr)
        return held.current;
    return tunables::way_back(object.tunable, held.current, to, in_use);
}

} // namespace

std::optional<std::uint64_t> in_use_now(const ObjectKey& object, const Snapshot& snapshot) {
    if (object.tunable == TunableId::somaxconn) return 0;
    if (object.tunable == TunableId::listener_backlog) {
        const auto listener = std::ranges::find(snapshot.listeners, object.listener_cookie, &Listener::cookie);
        return listener == snapshot.listeners.end() ? 0 : std::max(listener->queue, handshakes_of(*listener));
    }
    if (snapshot.conntrack.empty()) return std::nullopt;
    return std::ranges::max(snapshot.conntrack, {}, &Conntrack::entries).entries;
}

std::string reason_to_wait(const Gate& gate, const ObjectKey& object, std::uint64_t value) {
    if (object.tunable == TunableId::somaxconn) {
        const Held* listener = longest_listener_waiting(gate, object.netns);
        return listener != nullptr && listener->current > value
                   ? fmt::format("a listener stays at {} for now", listener->current)
                   : std::string();
    }
    const auto in_use = in_use_now(object, gate.snapshot());
    if (!in_use) return "what is in use is not known";
    const TunableId user = object.tunable == TunableId::conntrack_buckets ? TunableId::conntrack_max : object.tunable;
    std::uint64_t limit = value;
    if (user != object.tunable) { // the buckets follow
        const Held* held = gate.held({user, object.netns});
        if (held == nullptr) return {};
        const Trial* trial = trial_with(gate.state(), {user, object.netns});
        if (held->undo)
            limit = held->undo->value;
        else if (trial != nullptr && !trial->verdict.empty())
            limit = trial->values.at({user, object.netns});
        else
            return {};
    }
    if (limit == 0 || tunables::room_for(user, *in_use) <= limit) return {};
    return fmt::format("{} are in use", *in_use);
}

void undo_rule(Gate& gate) {
    for (auto& [object, held] : gate.state().held) {
        if (!held.undo) continue;
        const auto in_use = in_use_now(object, gate.snapshot());
        if (!in_use) continue;
        const std::uint64_t to = next_step(gate, object, held, *in_use);
        if (to >= held.current && to != held.undo->value) continue;
        gate.step_back(object, to,
                       fmt::format("rolled back as far as what is in use lets it ({}): {}", *in_use, held.undo->why),
                       {{"in_use", *in_use}, {"limit", held.current}});
    }
}

} // namespace bpftune::controller

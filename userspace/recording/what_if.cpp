// SPDX-License-Identifier: Apache-2.0
#include "recording/what_if.hpp"

#include <algorithm>
#include <cmath>
#include <optional>

namespace bpftune::recording {
namespace {

// The recorded value of an object, where the snapshot has read it after `since`.
std::optional<std::uint64_t> recorded_value(const Snapshot& snapshot, const ObjectKey& object, MonoTime since) {
    if (object.tunable == TunableId::listener_backlog) {
        const auto row = std::ranges::find(snapshot.listeners, object.listener_cookie, &Listener::cookie);
        if (row == snapshot.listeners.end() || row->read <= since) return std::nullopt;
        return row->limit;
    }
    if (snapshot.time.mono <= since) return std::nullopt;
    if (object.tunable == TunableId::somaxconn) {
        const auto row = std::ranges::find(snapshot.tcp, object.netns, &NetnsTcp::netns);
        return row == snapshot.tcp.end() ? std::nullopt : row->somaxconn;
    }
    if (snapshot.conntrack.empty()) return std::nullopt;
    const Conntrack& table = snapshot.conntrack.front(); // both are the node's
    if (object.tunable == TunableId::conntrack_max) return table.limit;
    return table.buckets > 0 ? std::optional(table.buckets) : std::nullopt;
}

} // namespace

WhatIf::Value& WhatIf::value_of(const Decision& decision, MonoTime now) {
    const ObjectKey object = key_of(decision.tunable, decision.scope);
    Value& value = values_.try_emplace(object, decision.from, decision.from).first->second;
    value.since = now;
    return value;
}

void WhatIf::live_wrote(const Decision& decision, MonoTime now) { value_of(decision, now).recorded = decision.to; }

void WhatIf::replay_wrote(const Decision& decision, MonoTime now) { value_of(decision, now).replayed = decision.to; }

const WhatIf::Value* WhatIf::find(TunableId tunable, const NetnsId& netns, std::uint64_t cookie) const {
    const auto found = values_.find({tunable, netns, cookie});
    return found == values_.end() ? nullptr : &found->second;
}

void WhatIf::let_others_through(const Snapshot& recorded) {
    std::erase_if(values_, [&](const auto& entry) {
        const auto& [object, value] = entry;
        if (value.replayed == value.recorded) return true;
        const auto now = recorded_value(recorded, object, value.since);
        return now && *now != value.recorded;
    });
}

const Snapshot* WhatIf::shown(const Snapshot& recorded) {
    if (values_.empty()) return nullptr;
    let_others_through(recorded);
    if (values_.empty()) return nullptr;
    shown_ = recorded;
    for (NetnsTcp& tcp : shown_.tcp)
        if (const Value* value = find(TunableId::somaxconn, tcp.netns))
            tcp.somaxconn = static_cast<std::uint32_t>(value->replayed);
    for (Listener& listener : shown_.listeners) show(listener);
    for (Conntrack& table : shown_.conntrack) show(table, shown_);
    return &shown_;
}

void WhatIf::show(Listener& listener) const {
    const Value* somaxconn = find(TunableId::somaxconn, listener.netns);
    const Value* limit = find(TunableId::listener_backlog, listener.netns, listener.cookie);
    if (somaxconn != nullptr) listener.somaxconn = static_cast<std::uint32_t>(somaxconn->replayed);
    if (limit != nullptr) listener.limit = static_cast<std::uint32_t>(limit->replayed);
    if ((limit != nullptr || somaxconn != nullptr) && listener.binds != Binds::syn_backlog) {
        const bool asked_for_more = listener.asked && *listener.asked > listener.limit;
        const bool bound = asked_for_more || listener.limit == listener.somaxconn;
        const bool is_below = !listener.asked && listener.limit < listener.somaxconn;
        listener.binds = bound ? Binds::somaxconn : is_below ? Binds::unknown : Binds::application;
    }
    if (limit == nullptr || listener.window.length == Nanoseconds{}) return;

    QueueWindow& window = listener.window;
    const std::uint64_t fits = limit->replayed + 1; // net/ipv4: sk_acceptq_is_full
    const std::uint64_t wanted = window.peak + window.overflows;
    const std::uint64_t lost = wanted - std::min(wanted, fits);
    // What is not lost any more has arrived and was accepted; what is lost now has not.
    const std::uint64_t gained = window.overflows - std::min(window.overflows, lost);
    const std::uint64_t missed = lost - std::min(lost, window.overflows);
    const auto moved = [&](std::uint64_t count) { return count + gained - std::min(count + gained, missed); };
    if (window.arrivals) window.arrivals = moved(*window.arrivals);
    window.accepted = moved(window.accepted);
    window.peak = static_cast<std::uint32_t>(std::min(wanted, fits));
    window.overflows = lost;
    window.floor = std::min(window.floor, window.peak);
    listener.queue = std::min(listener.queue, window.peak);
}

void WhatIf::show(Conntrack& table, const Snapshot& snapshot) const {
    if (const Value* buckets = find(TunableId::conntrack_buckets, snapshot.host)) table.buckets = buckets->replayed;
    const Value* limit = find(TunableId::conntrack_max, snapshot.host);
    if (limit == nullptr) return;
    table.limit = limit->replayed;
    const std::uint64_t wanted = table.entries + table.window_lost();
    const std::uint64_t before = table.entries;
    table.entries = std::min(wanted, table.limit);
    table.window_drops = wanted - table.entries;
    table.window_evicted = 0; // they are among these
    const double seconds = Seconds(snapshot.interval).count();
    if (seconds <= 0) return;
    const double gained = static_cast<double>(table.entries) - static_cast<double>(before);
    table.entries_per_second += gained / seconds;
    table.full_in_seconds.reset();
    if (table.entries_per_second > 0)
        table.full_in_seconds = static_cast<double>(table.limit - table.entries) / table.entries_per_second;
}

} // namespace bpftune::recording

// SPDX-License-Identifier: Apache-2.0
#include "controller/fast_open.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "controller/gate.hpp"

namespace bpftune::controller {
namespace {

constexpr std::uint64_t servers = 2; // include/net/tcp.h, TFO_SERVER_ENABLE

ObjectKey object_of(const NetnsTcp& row) { return {TunableId::tcp_fastopen, row.netns}; }

bool allows_servers(const NetnsTcp& row) { return (row.fastopen.value_or(0) & servers) != 0; }

// Before, all who ask do so in vain; then, those who fail. Who asks the first time is given a cookie, with which the
// next connection is opened: where none is, whoever asks does so of a listener that does not.
Measured measured(const NetnsTcp& row) {
    if (!allows_servers(row)) return {.losses = row.window_fastopen_requests, .demand = row.window_fastopen_requests};
    return {.losses = row.window_fastopen_failed + (row.window_fastopen_opened > 0 ? 0 : row.window_fastopen_requests),
            .demand = row.window_fastopen_requests + row.window_fastopen_opened + row.window_fastopen_failed,
            .use = row.window_fastopen_opened};
}

bool asks(const Listener& listener) { return listener.fastopen_queue.value_or(0) > 0; }

// nullptr: none asks whose wish counts.
const Listener* who_asks(const Gate& gate, const NetnsTcp& row) {
    const auto& listeners = gate.snapshot().listeners;
    const auto found = std::ranges::find_if(listeners, [&](const Listener& listener) {
        return listener.netns == row.netns && asks(listener) && gate.is_heard(TunableId::tcp_fastopen, listener);
    });
    return found == listeners.end() ? nullptr : &*found;
}

Wish wish_of(const NetnsTcp& row, const Listener& listener) {
    return {.tunable = TunableId::tcp_fastopen,
            .scope = {.netns = row.netns, .netns_pid = row.pid, .listener = std::nullopt, .pod = row.pod},
            .from = *row.fastopen,
            .to = *row.fastopen | servers,
            .why = fmt::format(
                "{} clients asked for Fast Open in a second or so, and {} ({}) for up to {} that wait, but "
                "bit 2 is not set: each needs a round trip more",
                row.window_fastopen_requests, to_string(listener.local), listener.command, *listener.fastopen_queue),
            .evidence = {{"requests", row.window_fastopen_requests},
                         {"fastopen_queue", *listener.fastopen_queue},
                         {"port", listener.local.port}},
            .reason = {.trial = {.object = object_of(row)}, .cause = Cause::loss, .before = measured(row)},
            .demand = object_of(row),
            .asker = ObjectKey{TunableId::listener_backlog, listener.netns, listener.cookie}};
}

void judge(Gate& gate, const NetnsTcp& row) {
    const ObjectKey object = object_of(row);
    if (!row.fastopen || allows_servers(row) || row.window_fastopen_requests == 0 || gate.puts_back(object)) return;
    const Listener* listener = who_asks(gate, row);
    if (listener == nullptr) return;
    gate.raise(wish_of(row, *listener));
}

// The policy names it, and whatever it is set to nobody takes requests with SYNs: that is the application's to ask for.
void say_who_does_not_ask(Gate& gate) {
    const Snapshot& snapshot = gate.snapshot();
    const auto is_known = [](const Listener& listener) { return listener.fastopen_queue.has_value(); };
    if (!gate.policy().of(TunableId::tcp_fastopen).named) return;
    if (std::ranges::none_of(snapshot.listeners, is_known) || std::ranges::any_of(snapshot.listeners, asks)) return;
    const auto host = std::ranges::find(snapshot.tcp, snapshot.host, &NetnsTcp::netns);
    if (host == snapshot.tcp.end()) return;
    std::uint64_t in_vain = 0;
    for (const NetnsTcp& row : snapshot.tcp) in_vain += row.fastopen_requests;
    gate.advise({.tunable = TunableId::tcp_fastopen,
                 .scope = {.netns = host->netns, .netns_pid = host->pid},
                 .why = fmt::format("it is named in the policy and does nothing here: no listener that can be "
                                    "looked into asks for Fast Open (TCP_FASTOPEN), and {}",
                                    in_vain == 0 ? "no client has since it is looked at"
                                                 : fmt::format("{} clients asked in vain", in_vain)),
                 .evidence = {{"requests", in_vain}}},
                "nobody asks");
}

} // namespace

namespace fast_opens {

void read(const View& view, std::vector<Reading>& readings) {
    if (view.snapshot.cause != Snapshot::Cause::tick) return;
    for (const NetnsTcp& row : view.snapshot.tcp)
        add(readings, [&] {
            return Reading{.object = object_of(row),
                           .netns_pid = row.pid,
                           .pod = &row.pod,
                           .value = row.fastopen,
                           .read = view.snapshot.time.mono,
                           .in_use = 0, // a connection that came so stays when it is lowered
                           .measured = measured(row)};
        });
}

// At ticks alone, of which each has all listeners that the last census found.
void rule(Gate& gate) {
    if (gate.snapshot().cause != Snapshot::Cause::tick) return;
    for (const NetnsTcp& row : gate.snapshot().tcp) judge(gate, row);
    say_who_does_not_ask(gate);
}

void show(const std::function<std::optional<std::uint64_t>(const ObjectKey&)>& value_of, Snapshot& snapshot) {
    for (NetnsTcp& row : snapshot.tcp)
        if (row.fastopen) row.fastopen = value_of(object_of(row)).value_or(*row.fastopen);
}

} // namespace fast_opens
} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "signals/conntrack_states.hpp"

#include <algorithm>
#include <cmath>
#include <functional>

#include <linux/netfilter/nf_conntrack_tcp.h>
#include <netinet/in.h>

namespace bpftune::signals {
namespace {

using probes::ConntrackEntry;

// Of a sample of `looked_at` entries to a table of `entries`.
class Estimate {
public:
    Estimate(const probes::ConntrackSample& sample, std::uint64_t entries)
        : sample_(sample),
          scale_(sample.entries.empty() ? 0
                                        : static_cast<double>(entries) / static_cast<double>(sample.entries.size())) {}

    [[nodiscard]] std::uint64_t of(const std::function<bool(const ConntrackEntry&)>& is_meant) const {
        const auto count = std::ranges::count_if(sample_.entries, is_meant);
        return static_cast<std::uint64_t>(std::llround(static_cast<double>(count) * scale_));
    }

private:
    const probes::ConntrackSample& sample_;
    double scale_;
};

// An end that keeps its connections alive sends something each keepalive_time, or is lost after its probes. The other
// end, or both, may be in a namespace that has it twice as long.
std::uint64_t kept_alive(const sys::ConntrackTimeouts& timeouts) {
    return 2ULL * timeouts.keepalive_time + std::uint64_t{timeouts.keepalive_intvl} * timeouts.keepalive_probes;
}

bool is_idle(const ConntrackEntry& entry, const StateEntries& state, const sys::ConntrackTimeouts& timeouts) {
    if (!entry.ends_in) return false;
    const std::uint64_t timeout = *state.timeout_seconds;
    const std::uint64_t shortened = std::max(timeouts.unacknowledged, timeouts.max_retrans);
    if (timeout > shortened && *entry.ends_in <= shortened) return false;
    return timeout >= *entry.ends_in && timeout - *entry.ends_in >= *state.needed_seconds;
}

StateEntries state_of(const Estimate& estimate, const std::optional<sys::ConntrackTimeouts>& timeouts,
                      std::uint8_t tcp_state, std::uint32_t sys::ConntrackTimeouts::* timeout, std::uint64_t least) {
    const auto is_in_it = [&](const ConntrackEntry& entry) {
        return entry.transport == IPPROTO_TCP && entry.tcp_state == tcp_state;
    };
    StateEntries state{.entries = estimate.of(is_in_it), .idle = {}, .timeout_seconds = {}, .needed_seconds = {}};
    if (!timeouts) return state;
    state.timeout_seconds = (*timeouts).*timeout;
    state.needed_seconds = least;
    if (tcp_state == TCP_CONNTRACK_ESTABLISHED) state.needed_seconds = std::max(least, kept_alive(*timeouts));
    state.idle =
        estimate.of([&](const ConntrackEntry& entry) { return is_in_it(entry) && is_idle(entry, state, *timeouts); });
    return state;
}

} // namespace

ConntrackStates states_of(const probes::ConntrackSample& sample, std::uint64_t entries) {
    const Estimate estimate(sample, entries);
    const auto of_transport = [&](std::uint8_t transport) {
        return estimate.of([=](const ConntrackEntry& entry) { return entry.transport == transport; });
    };
    const auto state = [&](std::uint8_t tcp_state, std::uint32_t sys::ConntrackTimeouts::* timeout,
                           std::uint64_t least) {
        return state_of(estimate, sample.timeouts, tcp_state, timeout, least);
    };
    using sys::ConntrackTimeouts;
    return {.read = {},
            .looked_at = sample.entries.size(),
            .tcp = of_transport(IPPROTO_TCP),
            .udp = of_transport(IPPROTO_UDP),
            .other = estimate.of([](const ConntrackEntry& entry) {
                return entry.transport != IPPROTO_TCP && entry.transport != IPPROTO_UDP;
            }),
            .established = state(TCP_CONNTRACK_ESTABLISHED, &ConntrackTimeouts::established, least_established),
            .time_wait = state(TCP_CONNTRACK_TIME_WAIT, &ConntrackTimeouts::time_wait, least_time_wait),
            .close_wait = state(TCP_CONNTRACK_CLOSE_WAIT, &ConntrackTimeouts::close_wait, least_close_wait)};
}

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
#include "signals/flood.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace bpftune::signals {
namespace {

constexpr Nanoseconds shortest_interval = std::chrono::milliseconds(500);
// Less than this is not worth a word, whatever it is.
constexpr double least_a_second = 100;
// A lost SYN-ACK costs a cookie too: what never returns must be more than any network loses.
constexpr std::uint64_t cookies_for_a_lost_one = 4;
// A client that is there completes its handshake within a round trip, or, where a packet is lost, a second later
// (RFC 6298).
constexpr double longest_handshake_seconds = 3;
constexpr std::uint64_t came_for_an_accepted = 100;
constexpr std::uint64_t fewest_entries = 100;

std::uint64_t gain(std::uint64_t before, std::uint64_t now) { return now - std::min(before, now); }

double a_second(std::uint64_t count, Nanoseconds interval) {
    return static_cast<double>(count) / Seconds(interval).count();
}

} // namespace

Sign syn_flood(const SynCounts& gained, Nanoseconds interval) {
    const std::uint64_t lost = gain(gained.cookies_returned, gained.cookies_sent);
    if (a_second(lost, interval) >= least_a_second && lost * cookies_for_a_lost_one >= gained.cookies_sent)
        return fmt::format("{:.0f} SYN cookies/s, {:.0f}/s came back", a_second(gained.cookies_sent, interval),
                           a_second(gained.cookies_returned, interval));
    if (!gained.arrivals || a_second(gained.refused, interval) < least_a_second) return std::nullopt;
    const double completed = a_second(*gained.arrivals, interval) * longest_handshake_seconds;
    if (completed >= static_cast<double>(gained.half_open)) return std::nullopt;
    return fmt::format("{:.0f} SYNs/s refused, {:.0f} handshakes/s", a_second(gained.refused, interval),
                       a_second(*gained.arrivals, interval));
}

Sign connect_flood(const Listener& listener, const Sign& before) {
    const QueueWindow& window = listener.window;
    if (!window.arrivals || window.overflows == 0 || window.length < shortest_interval) return std::nullopt;
    if (window.accepted == 0 && !before) return std::nullopt; // it hangs
    const std::uint64_t came = *window.arrivals + window.overflows;
    const bool stuck = std::uint64_t{window.floor} * 2 > listener.limit;
    if (!stuck || a_second(came, window.length) < least_a_second) return std::nullopt;
    if (window.accepted * came_for_an_accepted > came) return std::nullopt;
    return fmt::format("{:.0f} connections/s, {:.0f}/s accepted", a_second(came, window.length),
                       a_second(window.accepted, window.length));
}

Sign conntrack_flood(const probes::ConntrackSample& sample) {
    if (sample.entries < fewest_entries || sample.unanswered * 2 < sample.entries) return std::nullopt;
    return fmt::format("{} of {} entries looked at are unanswered", sample.unanswered, sample.entries);
}

void SynWatch::update(const SynCounts& counts, MonoTime now) {
    if (since_ && now - *since_ < shortest_interval) return;
    const MonoTime since = since_.value_or(now);
    SynCounts gained{.cookies_sent = gain(base_.cookies_sent, counts.cookies_sent),
                     .cookies_returned = gain(base_.cookies_returned, counts.cookies_returned),
                     .refused = gain(base_.refused, counts.refused),
                     .half_open = counts.half_open};
    if (counts.arrivals) gained.arrivals = gain(base_.arrivals.value_or(0), *counts.arrivals);
    const Sign evidence = now > since ? syn_flood(gained, now - since) : std::nullopt;
    flood_ = suspected_ ? evidence : std::nullopt;
    suspected_ = evidence.has_value();
    since_ = now;
    base_ = counts;
}

} // namespace bpftune::signals

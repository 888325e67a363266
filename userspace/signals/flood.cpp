// SPDX-License-Identifier: Apache-2.0
#include "signals/flood.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <span>
#include <string_view>
#include <utility>

#include <fmt/format.h>
#include <netinet/in.h>

#include "signals/gain.hpp"

namespace bpftune::signals {
namespace {

constexpr Nanoseconds shortest_interval = std::chrono::milliseconds(500);
// Less than this is not worth a word, whatever it is.
constexpr double least_a_second = 100;
// A lost SYN-ACK costs a cookie too: what never returns must be more than any network loses.
constexpr std::uint64_t cookies_for_a_lost_one = 4;
constexpr std::uint64_t came_for_an_accepted = 100;
constexpr std::size_t fewest_entries = 100;
// So many new ones say what comes; where fewer come for so long, next to nothing does.
constexpr std::size_t fewest_arrived = 20;
constexpr Nanoseconds longest_comparison = std::chrono::seconds(5);

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
    if (can_be_clients(gained.half_open, a_second(*gained.arrivals, interval))) return std::nullopt;
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

namespace {

using probes::ConntrackEntry;
using Entries = std::span<const ConntrackEntry>;

std::size_t unanswered_in(Entries entries) {
    return static_cast<std::size_t>(std::ranges::count_if(entries, &ConntrackEntry::unanswered));
}

std::set<std::uint32_t> ids_of(const probes::ConntrackSample& sample) {
    std::set<std::uint32_t> ids;
    for (const ConntrackEntry& entry : sample.entries) ids.insert(entry.id);
    return ids;
}

// The part of a sample that is of the same hash buckets as another: up to the last entry that both have. Two samples
// without one are of the same beginning all the same.
Entries common_part(const probes::ConntrackSample& sample, const std::set<std::uint32_t>& others, bool whole) {
    const Entries all(sample.entries);
    if (whole) return all;
    const auto last = std::ranges::find_if(all.rbegin(), all.rend(),
                                           [&](const ConntrackEntry& entry) { return others.contains(entry.id); });
    return last == all.rend() ? all : all.first(static_cast<std::size_t>(all.rend() - last));
}

// What wants to be in the table: entries that there are more of, and those that found no place.
struct Pressure {
    double unanswered = 0;
    double answered = 0;
    std::size_t changed = 0; // entries of the sample
};

Pressure pressure_of(const probes::ConntrackSample& before, const probes::ConntrackSample& now, std::uint64_t entries,
                     std::uint64_t lost) {
    const auto ids_before = ids_of(before), ids_now = ids_of(now);
    const bool whole = before.whole && now.whole;
    const Entries old_part = common_part(before, ids_now, whole), new_part = common_part(now, ids_before, whole);
    const auto growth = [](std::size_t from, std::size_t to) { return to > from ? static_cast<double>(to - from) : 0; };
    const std::size_t unanswered_before = unanswered_in(old_part), unanswered_now = unanswered_in(new_part);

    std::size_t arrived = 0, arrived_unanswered = 0;
    for (const ConntrackEntry& entry : new_part) {
        if (ids_before.contains(entry.id)) continue;
        arrived++;
        if (entry.unanswered) arrived_unanswered++;
    }
    const double unanswered_share = arrived > 0 ? static_cast<double>(arrived_unanswered) / static_cast<double>(arrived)
                                                : static_cast<double>(unanswered_now) /
                                                      static_cast<double>(std::max<std::size_t>(1, new_part.size()));

    const double scale =
        static_cast<double>(entries) / static_cast<double>(std::max<std::size_t>(1, now.entries.size()));
    Pressure pressure{.changed = arrived};
    pressure.unanswered = growth(unanswered_before, unanswered_now) * scale;
    pressure.answered = growth(old_part.size() - unanswered_before, new_part.size() - unanswered_now) * scale;
    pressure.unanswered += static_cast<double>(lost) * unanswered_share;
    pressure.answered += static_cast<double>(lost) * (1 - unanswered_share);
    return pressure;
}

std::string transport_text(std::uint8_t transport) {
    switch (transport) {
    case IPPROTO_TCP: return "TCP";
    case IPPROTO_UDP: return "UDP";
    case IPPROTO_SCTP: return "SCTP";
    case IPPROTO_ICMP:
    case IPPROTO_ICMPV6: return "ICMP";
    default: return fmt::format("protocol {}", transport);
    }
}

// What usually sends to one port without an answer there.
std::string_view usual_cause(std::uint8_t transport, std::uint16_t port) {
    if (transport == IPPROTO_TCP) return " (SYNs of nobody, or answers that pass elsewhere: DSR)";
    if (transport != IPPROTO_UDP) return "";
    switch (port) {
    case 4789: // RFC 7348
    case 8472: // the kernel's and flannel's default
        return " (VXLAN)";
    case 6081: return " (Geneve)"; // RFC 8926
    default: return "";
    }
}

// "UDP to port 8472 (VXLAN)", "TCP to 812 ports (a scan)"
std::string most_of_unanswered(Entries entries) {
    std::map<std::uint8_t, std::map<std::uint16_t, std::size_t>> ports;
    std::map<std::uint8_t, std::size_t> transports;
    for (const ConntrackEntry& entry : entries) {
        if (!entry.unanswered) continue;
        ++ports[entry.transport][entry.port];
        ++transports[entry.transport];
    }
    const auto& [transport, count] =
        *std::ranges::max_element(transports, {}, [](const auto& each) { return each.second; });
    const auto& of_transport = ports.at(transport);
    const auto& [port, most] =
        *std::ranges::max_element(of_transport, {}, [](const auto& each) { return each.second; });
    const std::string name = transport_text(transport);
    if (most * 2 >= count)
        return port == 0 ? name : fmt::format("{} to port {}{}", name, port, usual_cause(transport, port));
    return fmt::format("{} to {} ports (a scan)", name, of_transport.size());
}

} // namespace

std::optional<double> UnansweredWatch::ratio() const {
    if (looked_at_ == 0) return std::nullopt;
    return static_cast<double>(unanswered_) / static_cast<double>(looked_at_);
}

void UnansweredWatch::look(probes::ConntrackSample sample, std::uint64_t entries, MonoTime now) {
    looked_at_ = sample.entries.size();
    unanswered_ = unanswered_in(sample.entries);
    const bool mostly = looked_at_ >= fewest_entries && unanswered_ * 2 >= looked_at_;
    are_ = mostly ? std::optional(most_of_unanswered(sample.entries)) : std::nullopt;
    if (!mostly) flood_.reset();
    if (before_) {
        const Pressure pressure = pressure_of(*before_, sample, entries, lost_);
        if (pressure.changed < fewest_arrived && lost_ == 0 && now < since_ + longest_comparison) return;
        judged_ = true;
        const bool come = pressure.unanswered > 0 && pressure.unanswered >= pressure.answered &&
                          (pressure.changed >= fewest_arrived || lost_ > 0);
        flood_.reset();
        if (mostly && come)
            flood_ = fmt::format("{} of {} entries looked at are unanswered, most of them {}", unanswered_, looked_at_,
                                 *are_);
    }
    before_ = std::move(sample);
    since_ = now;
    lost_ = 0;
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

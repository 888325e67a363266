// SPDX-License-Identifier: Apache-2.0
#include "signals/clash.hpp"

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include <arpa/inet.h>
#include <fmt/format.h>
#include <netinet/in.h>

namespace bpftune::signals {
namespace {

using probes::ConntrackEnd;
using probes::ConntrackEntry;

// NAT gives up before a large range is taken whole (net/netfilter/nf_nat_core.c, nf_nat_l4proto_unique_tuple: some 240
// tries at random), and a sample sees a part.
constexpr double taken_part = 0.75;
// Of fewer it is not known how many a sample leaves out.
constexpr std::size_t enough_to_scale = 20;
// Of fewer ports it is not known that they are a range of their own.
constexpr std::size_t enough_for_a_range = 3;

struct Ports {
    std::uint16_t lowest = 65535;
    std::uint16_t highest = 0;
    std::set<std::uint16_t> taken;
    std::size_t entries = 0;
    std::size_t renumbered = 0; // got another port than they had

    void add(std::uint16_t from, std::uint16_t to) {
        lowest = std::min(lowest, to);
        highest = std::max(highest, to);
        taken.insert(to);
        entries++;
        if (to != from) renumbered++;
    }
    [[nodiscard]] double range() const { return static_cast<double>(highest) - static_cast<double>(lowest) + 1; }
};

// Connections whose source became one address: they share its ports, and each peer's are counted by themselves, for two
// rules may give to two peers what each of them has.
struct Source {
    Ports all;
    std::set<std::uint16_t> from; // the ports that they had
    std::map<ConntrackEnd, Ports> peers;
};
using Key = std::tuple<std::uint8_t, std::uint8_t, std::array<std::uint8_t, 16>>; // family, transport, address

std::map<Key, Source> sources_of(const probes::ConntrackSample& sample) {
    std::map<Key, Source> sources;
    for (const ConntrackEntry& entry : sample.entries) {
        if (!entry.source_nat || entry.translated.port == 0) continue;
        Source& source = sources[{entry.family, entry.transport, entry.translated.address}];
        source.all.add(entry.from, entry.translated.port);
        source.from.insert(entry.from);
        source.peers[entry.peer].add(entry.from, entry.translated.port);
    }
    return sources;
}

std::string address_text(std::uint8_t family, const std::array<std::uint8_t, 16>& address) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    ::inet_ntop(family, address.data(), text.data(), text.size());
    return text.data();
}

std::string endpoint_text(std::uint8_t family, const ConntrackEnd& end) {
    const std::string address = address_text(family, end.address);
    return family == AF_INET6 ? fmt::format("[{}]:{}", address, end.port) : fmt::format("{}:{}", address, end.port);
}

std::string sentence_of(const Key& key, const Ports& ports, const ConntrackEnd& peer) {
    const auto& [family, transport, address] = key;
    const std::string of = address_text(family, address), to = endpoint_text(family, peer);
    if (ports.lowest == ports.highest)
        return fmt::format("NAT ports exhausted: port {} of {} is taken by a connection to {}", ports.lowest, of, to);
    return fmt::format("NAT ports exhausted: ports {}-{} of {} are taken by connections to {}", ports.lowest,
                       ports.highest, of, to);
}

// NAT gives whom it translates some port (masquerade with random-fully): that it has no other is known when it gave the
// same one to two of them, or when nothing else is there to clash with. (Two packets that begin one connection of TCP
// come a second after each other.)
bool is_all_there_is(const Key& key, const Source& source, const probes::ConntrackSample& sample) {
    if (source.all.lowest != source.all.highest || source.from.size() > 1) return true;
    return sample.whole && sample.entries.size() == 1 && std::get<1>(key) == IPPROTO_TCP;
}

// The range that those to this peer got their ports from: their own, where they say enough of it.
const Ports& range_of(const Source& source, const Ports& peer) {
    return peer.taken.size() < enough_for_a_range ? source.all : peer;
}

} // namespace

Clash clash_of(const probes::ConntrackSample& sample, std::uint64_t entries) {
    Clash clash;
    const double scale = sample.entries.empty() || sample.whole
                             ? 1
                             : static_cast<double>(entries) / static_cast<double>(sample.entries.size());
    double most = 0;
    for (const auto& [key, source] : sources_of(sample)) {
        if (!is_all_there_is(key, source, sample)) continue;
        for (const auto& [peer, ports] : source.peers) {
            const Ports& of = range_of(source, ports);
            if (of.renumbered * 2 < of.entries) continue; // they kept their own: nothing is scarce
            const std::size_t seen = ports.taken.size();
            const double taken = static_cast<double>(seen) * (seen >= enough_to_scale ? std::max(scale, 1.0) : 1.0);
            if (taken < taken_part * of.range() || taken <= most) continue;
            most = taken;
            clash = {.nat_exhausted = true, .sentence = sentence_of(key, of, peer)};
        }
    }
    return clash;
}

} // namespace bpftune::signals

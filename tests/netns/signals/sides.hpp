// SPDX-License-Identifier: Apache-2.0
// Every rung that this kernel has of one probe, side by side: each with a collector of its own.
// BPFTUNE_PARITY=FILE appends what was found to it, for docs/parity.md.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <deque>
#include <fstream>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "netns/namespace.hpp"
#include "netns/rungs.hpp"
#include "probes/probes.hpp"
#include "signals/catalog.hpp"
#include "signals/collector.hpp"
#include "signals/sight.hpp"
#include "sys/clock.hpp"

namespace bpftune::testing {

using signals::Sight;

using Number = std::optional<std::uint64_t>;

inline Number number(std::uint64_t value) { return value; }
inline Number number(const Number& value) { return value; }
inline Number number(const std::optional<std::uint32_t>& value) { return value ? Number(*value) : std::nullopt; }

// What a row is found by: fields of its table and what they are there.
using Keys = std::vector<std::pair<std::string_view, signals::Value>>;

// As `top -o json` has it; nullopt: null, or there is no such row.
inline Number shown(const Snapshot& snapshot, std::string_view signal, const Keys& keys) {
    const auto place = [](const signals::Table& table, auto member, std::string_view name) {
        return static_cast<std::size_t>(std::ranges::find(table.signals, name, member) - table.signals.begin());
    };
    for (const signals::Table& table : signals::catalog()) {
        const std::size_t column = place(table, &signals::Signal::name, signal);
        if (column == table.signals.size()) continue;
        for (std::size_t row = 0; row < table.rows(snapshot); ++row) {
            const auto has = [&](const auto& key) {
                return table.cell(snapshot, row, place(table, &signals::Signal::json, key.first)) == key.second;
            };
            if (!std::ranges::all_of(keys, has)) continue;
            const signals::Value value = table.cell(snapshot, row, column);
            if (const auto* exact = std::get_if<std::uint64_t>(&value)) return *exact;
            if (const auto* real = std::get_if<double>(&value)) return std::llround(*real);
            return {};
        }
        return {};
    }
    throw std::runtime_error(fmt::format("no signal {}", signal));
}

inline Keys row_of(const Namespace& netns) { return {{"netns", std::uint64_t{netns.inode()}}}; }

// One probe on one rung, and what it made of the traffic.
struct Side {
    Rung rung;
    probes::Probes probes;
    std::unique_ptr<signals::Collector> collector;
    Snapshot seen;

    Side(Probe probe, Rung wanted, const signals::Node& node)
        : rung(wanted), probes(probes::Probes::open({.rungs = {{probe, wanted}}})),
          collector(std::make_unique<signals::Collector>(probes, node, sys::now())) {}
    void look() {
        probes.drain([&](const probes::Event& event) { (void)collector->on_event(event, sys::now()); });
        seen = collector->tick(sys::now());
    }
};

// What this kernel has of a probe's ladder.
class Sides {
public:
    explicit Sides(Probe probe) : probe_(probe) {
        for (const Rung rung : {Rung::fentry, Rung::tracepoint, Rung::netlink, Rung::procfs}) {
            const auto name = fmt::format("{}={}", to_string(probe), to_string(rung));
            if (!probes::parse_rung_choice(name)) continue;
            if (probes::Probes::open({.rungs = {{probe, rung}}}).as_asked()) {
                sides_.emplace_back(probe, rung, node_);
            } else {
                record(rung, "", "cannot be had");
            }
        }
        // All probes but this one have a rung without BPF.
        if (probe != Probe::buffers || expects_bpf()) REQUIRE_FALSE(sides_.empty());
    }

    void look() {
        for (Side& side : sides_) side.look();
    }

    // `read` finds the signal in a Snapshot; nullopt: null, or its row is not there.
    void expect(std::string_view signal, std::uint64_t truth,
                const std::function<std::optional<std::uint64_t>(const Snapshot&)>& read) {
        expect(signal, {truth, truth}, read);
    }

    // Of the row that has these.
    void expect(std::string_view signal, std::uint64_t truth, const Keys& keys) {
        expect(signal, truth, [&](const Snapshot& snapshot) { return shown(snapshot, signal, keys); });
    }

    // What the kernel counted lies between `least` and `most`.
    struct Bounds {
        std::uint64_t least;
        std::uint64_t most;
    };
    void expect(std::string_view signal, Bounds truth,
                const std::function<std::optional<std::uint64_t>(const Snapshot&)>& read) {
        for (const Side& side : sides_) {
            const Sight sight = sight_here(side, signal);
            const auto seen = read(side.seen);
            const bool right = holds(sight, seen, truth);
            INFO(signal << " by " << to_string(side.rung) << ", " << to_string(sight) << ": "
                        << (seen ? std::to_string(*seen) : "null") << " of " << truth.least << " to " << truth.most);
            CHECK(right);
            record(side.rung, signal, right ? to_string(sight) : "WRONG");
        }
    }

    [[nodiscard]] std::deque<Side>& all() { return sides_; }

private:
    // What is estimated has a sum only, which the tests compare.
    [[nodiscard]] static bool holds(Sight sight, std::optional<std::uint64_t> seen, Bounds truth) {
        if (sight == Sight::exact) return seen && *seen >= truth.least && *seen <= truth.most;
        if (sight == Sight::sampled) return seen && *seen <= truth.most;
        return sight == Sight::estimated ? seen.has_value() : !seen.has_value();
    }

    // A limitation of some kernels is one of this kernel if the probe says so. Those of conntrack are of tables that
    // are not near their limit.
    [[nodiscard]] Sight sight_here(const Side& side, std::string_view signal) const {
        const bool on_some = std::ranges::any_of(signals::limitations(), [&](const signals::Limitation& each) {
            return each.rung == side.rung && each.signal == signal && !each.where.empty();
        });
        const bool has_it =
            probe_ != Probe::listen ||
            (side.rung == Rung::tracepoint ? side.probes.counts_last_ack_overflows() : side.probes.sees_arrivals());
        return on_some && has_it ? Sight::exact : signals::sight_of(side.rung, signal);
    }

    void record(Rung rung, std::string_view signal, std::string_view found) const {
        const char* path = std::getenv("BPFTUNE_PARITY");
        if (path == nullptr) return;
        std::ofstream(path, std::ios::app)
            << to_string(probe_) << '\t' << signal << '\t' << to_string(rung) << '\t' << found << '\n';
    }

    Probe probe_;
    signals::Node node_ = signals::this_node();
    std::deque<Side> sides_; // Collector refers to its probes
};

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// Which CPU has no time left for packets, and which network devices bring them. Pure.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"
#include "sys/procfs.hpp"

namespace bpftune::signals {

class HotCpus {
public:
    static constexpr Nanoseconds remembered = std::chrono::seconds(10);

    // By rows that Backlogs has filled in. Of several that are hot the one that has been so for longest.
    std::optional<HotCpu> tick(std::span<const SoftirqCpu> rows, Nanoseconds interval);

private:
    std::deque<HotCpu> looks_; // of one CPU, oldest first: each of one interval
};

// What a device has received, at looks that are a second or so apart.
class ReceiveCount {
public:
    void add(const sys::Received& received, MonoTime now);
    // Between the last two looks; nullopt: there was one.
    [[nodiscard]] std::optional<ReceiveRate> per_second() const {
        return looks_.size() < 2 ? std::nullopt : per_second_since(looks_.size() - 2);
    }
    // Over ten seconds, or longer where looks are further apart; nullopt: they do not cover three.
    [[nodiscard]] std::optional<ReceiveRate> mean_per_second() const;
    [[nodiscard]] MonoTime last() const { return looks_.back().when; }

private:
    struct Look {
        sys::Received received;
        MonoTime when;
    };
    [[nodiscard]] std::optional<ReceiveRate> per_second_since(std::size_t first) const;

    std::vector<Look> looks_; // oldest first
};

// What is known of a device is kept while it may be asked for: what was said of it, and a raise that was rolled back.
class SteeredDevices {
public:
    static constexpr Nanoseconds remembered = std::chrono::hours(2);
    static constexpr std::size_t most_remembered = 64;
    static constexpr std::size_t most_at_once = 32; // devices of one namespace in one tick: the others in later ones

    // A tick begins. `packets_per_second`: of the hot CPU; nullopt: there is none, and nobody wants to know of devices.
    void begin(std::optional<double> packets_per_second, MonoTime now);

    // Whether it is to be looked at now: it brings a quarter of these or more, a packet being counted again by each
    // device that passes it on; or its steering is ours.
    bool wants(const NetnsId& netns, std::string_view name, const sys::Received& received);

    // The devices of a namespace that were wanted. Of those that are known and not among them only what is ours is
    // gone.
    void update(const probes::NetnsReading& netns, std::span<const probes::DeviceReading> devices);

    // A namespace has ended, or all but these have.
    void gone(const NetnsId& netns);
    void forget_all_but(std::span<const probes::NetnsReading> there);

    // A receive queue is ours, until whoever knows says that it is not. One that is to be left alone from then on is
    // remembered for as long as its namespace is there.
    using Says = std::function<bool(const ObjectKey&)>;
    void hold(const ObjectKey& queue) { held_[place_of(queue)] = queue; }
    void let_go_unless(const Says& is_ours, const Says& is_left_alone);
    [[nodiscard]] bool holds_any_in(const NetnsId& netns) const;

    [[nodiscard]] std::vector<SteeredDevice> rows() const;

private:
    using Place = std::pair<NetnsId, std::uint32_t>; // and index
    static Place place_of(const ObjectKey& queue) {
        return {queue.netns, static_cast<std::uint32_t>(queue.listener_cookie >> 32)};
    }
    struct Known {
        SteeredDevice row;
        MonoTime wanted;
        bool is_left_alone = false;
        bool is_missed = false; // no device had its name in the last round: any of the namespace may be it
    };
    // Of looks at the devices of a namespace that are wanted, of which a tick takes a part.
    struct Round {
        MonoTime began;
        std::size_t from = 0;   // the first that this tick takes
        std::size_t wanted = 0; // in this tick, so far
    };

    [[nodiscard]] bool is_busy(const NetnsId& netns, std::string_view name) const;
    [[nodiscard]] bool is_held(const NetnsId& netns, std::string_view name) const;
    [[nodiscard]] bool is_search_in(const NetnsId& netns) const;
    void forget_missing(const NetnsId& netns, MonoTime began);

    std::optional<double> packets_per_second_;
    MonoTime now_;
    std::map<std::pair<NetnsId, std::string>, ReceiveCount> counts_; // while a CPU is hot, and of what is ours
    std::map<Place, Known> known_;
    std::map<Place, ObjectKey> held_;
    std::map<NetnsId, Round> rounds_; // that are not at their end
};

} // namespace bpftune::signals

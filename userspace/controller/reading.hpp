// SPDX-License-Identifier: Apache-2.0
// What one snapshot says of each object: plain values, made once in a step by the resources (resource.hpp). What walks
// them asks nothing else of a resource, and knows no tunable.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <span>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"

namespace bpftune::controller {

inline constexpr std::uint64_t no_limit = std::numeric_limits<std::uint64_t>::max();

// Whether what was lost in a window was lost for want of the limit.
enum class Counts {
    yes,
    no,
    undecided, // the next window tells
};

// It points into the snapshot.
struct Reading {
    ObjectKey object;
    int netns_pid = 0;                  // as in Scope
    const Listener* listener = nullptr; // of a socket: itself, as is the next
    const UdpSocket* udp = nullptr;
    const SteeredDevice* device = nullptr; // of a receive queue: whose it is
    const DeviceInterrupt* interrupt = nullptr;
    const std::optional<Pod>* pod = nullptr;
    bool is_part = false; // one of those whose demand counts for the node's object, which has the value (a table)

    std::optional<std::uint64_t> value; // nullopt: not read
    MonoTime read;                      // when
    // The kernel lets no more than this through now; nullopt: not known, and nothing may be raised.
    std::optional<std::uint64_t> ceiling = no_limit;
    // Of words (Tunable::words), each a bit: those that it takes there now, and would take the present one back after.
    std::uint64_t words = no_limit;

    std::optional<std::uint64_t> in_use; // now: what has to fit when it is lowered; nullopt: not known
    std::optional<Use> use;              // of the window, for how much of it is needed; nullopt: not seen
    // In use in the window: what it is charged by; nullopt: not looked at. Of several who are held to it: by each.
    std::optional<std::uint64_t> charged;
    std::optional<std::vector<std::uint64_t>> charged_each;
    std::optional<std::uint64_t> charged_at_most; // no more than so many can have a part of it; nullopt: not counted
    std::uint64_t sharers = 1;                    // who may each fill it (Tunable::sharers)
    Measured measured;                            // what the window adds to a trial of it
    bool has_parts = false;                       // of whose demand its own consists: measured_for() (tenant.hpp)
    std::optional<RaisedFlows> raised;            // what has become of the connections that it was raised for
    Counts counts = Counts::yes;
    bool is_pace_seen = false;    // how fast it is worked off
    std::optional<Behind> behind; // nullopt: it is worked off in time, or that is not seen
    Nanoseconds shows_after{};    // a change of it tells on what is lost only after so long

    [[nodiscard]] Scope scope() const;
    [[nodiscard]] bool takes_word(std::uint64_t word) const { return (words >> word & 1) != 0; }
};

// Adds what `make` returns. It is made in its place: a reading is large, and to move one takes longer than to make it.
template <class Make> Reading& add(std::vector<Reading>& readings, Make make) {
    struct Made {
        Make& make;
        explicit operator Reading() const { return make(); }
    };
    return readings.emplace_back(Made{make});
}

// What readings are made from. `asks`: whether the demand of a namespace counts for the node's object, which an entry
// of the policy may say it does not.
struct View {
    const Snapshot& snapshot;
    const State& state;
    std::function<bool(TunableId, const NetnsId&)> asks;
};

// What readings are kept in.
struct ReadingsMemory {
    std::vector<Reading> readings;
    std::vector<std::uint32_t> order;  // of readings, by their objects
    std::vector<std::uint32_t> begins; // in `order`, of each tunable's, and the end of the last
    std::size_t most = 0;              // readings that were in it
};

// Each object once. What a whole snapshot has no reading of is gone.
class Readings {
    [[nodiscard]] auto at(std::span<const std::uint32_t> places) const {
        return places | std::views::transform([this](std::uint32_t at) -> const Reading& { return in_->readings[at]; });
    }

public:
    Readings(const View& view, Spare& spare); // it gives the memory back to `spare`
    // Of values alone: nothing is known of what was before, and everyone asks.
    explicit Readings(const Snapshot& snapshot);
    Readings(const Readings&) = delete;
    Readings& operator=(const Readings&) = delete;
    ~Readings();

    [[nodiscard]] const Reading* find(const ObjectKey& object) const; // nullptr: it is gone, or was not looked at
    [[nodiscard]] std::span<const Reading> all() const { return in_->readings; } // in no order
    // In the order of their objects.
    [[nodiscard]] auto in_order() const { return at(in_->order); }
    [[nodiscard]] auto in_order(TunableId tunable) const { return at(places_of(tunable)); }

private:
    Readings(const View& view, std::shared_ptr<ReadingsMemory> in, Spare* spare);
    [[nodiscard]] std::span<const std::uint32_t> places_of(TunableId tunable) const;
    void put_in_order();
    [[nodiscard]] bool are_in_order() const;

    std::shared_ptr<ReadingsMemory> in_;
    Spare* spare_;  // nullptr: nobody asks for the memory
    bool is_whole_; // a tick's: an event is about few of what the next tick reads
};

} // namespace bpftune::controller

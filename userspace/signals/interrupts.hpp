// SPDX-License-Identifier: Apache-2.0
// Which interrupts of the node's network devices a hot CPU is given. Pure.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"
#include "signals/steering.hpp"

namespace bpftune::signals {

// Whether an interrupt is for packets that come, by its name: drivers call those for packets that go "output" or "tx",
// those for both "TxRx", and the one of a device as a whole by other words.
bool receives(std::string_view name);

// What is known of one is kept while it may be asked for: what was said of it, and a move that was rolled back.
class Interrupts {
public:
    static constexpr Nanoseconds remembered = std::chrono::hours(2);
    static constexpr std::size_t most_remembered = 256;
    // A second, on the hot CPU. A queue that hardly runs empty is polled, and has few: 11 to 20 a second each had two
    // that kept an emulated CPU busy with 250 packets each (512 on their way). One that never does has none.
    static constexpr double least_busy = 2;

    // A tick begins. `hot`: the CPU that has no time left; nullopt: there is none.
    void begin(std::optional<unsigned> hot, MonoTime now);

    [[nodiscard]] bool holds_any() const { return !held_.empty(); }

    // All that there are. What is ours and not among them is gone.
    void update(const probes::NetnsReading& host, std::span<const probes::InterruptReading> readings);

    // An interrupt is ours, until one that asks says that it is not.
    void hold(const ObjectKey& interrupt) { held_[place_of(interrupt)] = interrupt; }
    void let_go_unless(const std::function<bool(const ObjectKey&)>& is_ours) {
        std::erase_if(held_, [&](const auto& entry) { return !is_ours(entry.second); });
    }

    [[nodiscard]] std::vector<DeviceInterrupt> rows() const;

private:
    struct Place { // index of the device, and number
        std::uint32_t ifindex = 0;
        std::uint32_t irq = 0;
        auto operator<=>(const Place&) const = default;
    };
    static Place place_of(const ObjectKey& interrupt) {
        return {.ifindex = static_cast<std::uint32_t>(interrupt.listener_cookie >> 32),
                .irq = static_cast<std::uint32_t>(interrupt.listener_cookie)};
    }
    struct Count {
        std::uint64_t taken = 0; // by the hot CPU
        MonoTime when;
        std::optional<double> per_second; // of the look before
    };
    struct Known {
        DeviceInterrupt row;
        MonoTime wanted;
    };

    void count(const probes::InterruptReading& reading);
    void note(const probes::NetnsReading& host, const probes::InterruptReading& reading);

    std::optional<unsigned> hot_;
    MonoTime now_;
    std::map<Place, Count> counts_; // while a CPU is hot
    std::map<Place, Known> known_;
    std::map<Place, ObjectKey> held_;
    std::map<std::uint32_t, ReceiveCount> received_; // by index of the device; while anybody looks
};

} // namespace bpftune::signals

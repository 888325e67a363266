// SPDX-License-Identifier: Apache-2.0
// Counters that are narrower in the kernel than here, made to go on where they wrap.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>

#include "probes/readings.hpp"

namespace bpftune::probes {

template <class Reading> struct Counter {
    std::uint64_t Reading::* member;
    unsigned bits; // in the kernel
};

// All that are narrower than 64 bits. The others that are read, those of the network's MIBs, are `unsigned long`.
template <class Reading> inline constexpr std::array<Counter<Reading>, 0> narrow_counters{};

// net/core/net-procfs.c, softnet_seq_show: each column is printed with %08x.
template <> inline constexpr std::array narrow_counters<SoftirqReading>{
    Counter{&SoftirqReading::processed, 32},
    Counter{&SoftirqReading::dropped, 32},
    Counter{&SoftirqReading::time_squeeze, 32},
    Counter{&SoftirqReading::flow_limited, 32},
};

// include/linux/netfilter/nf_conntrack_common.h, struct ip_conntrack_stat: unsigned int of each CPU. Their sum is right
// up to multiples of 2^32.
template <> inline constexpr std::array narrow_counters<ConntrackReading>{
    Counter{&ConntrackReading::drops, 32},
    Counter{&ConntrackReading::early_drops, 32},
    Counter{&ConntrackReading::insert_failed, 32},
    Counter{&ConntrackReading::chain_too_long, 32},
};

// include/net/sock.h, struct sock: sk_drops is an atomic_t.
template <> inline constexpr std::array narrow_counters<ListenerReading>{
    Counter{&ListenerReading::drops, 32},
};

// The narrow counters of one reading per key, which never fall. Right as long as each is read before it has moved by
// more than half its width: one that falls has wrapped only if it came from the upper half into the lower one by that.
// Else it began anew (a module that was loaded again), and counts from what is read then.
template <class Key, class Reading> class Widened {
public:
    // Makes the reading's counters what they are without the wraps; the first ones of a key are taken as they are.
    void update(const Key& key, Reading& reading) {
        const auto [now, first] = now_.try_emplace(key);
        if (first) now->second = widened(key, reading);
        fill(now->second, reading);
    }

    // The same for one that is read out of turn: nothing is remembered of it.
    void peek(const Key& key, Reading& reading) const { fill(widened(key, reading), reading); }

    // After a reading of all objects: those that were not in it are gone.
    void end_of_reading() {
        before_ = std::move(now_);
        now_.clear();
    }

    // The same for those that may come back as they were.
    void end_of_reading_keeping_gone() {
        now_.merge(before_);
        end_of_reading();
    }

private:
    static constexpr auto& counters = narrow_counters<Reading>;
    struct Value {
        std::uint64_t read = 0;
        std::uint64_t whole = 0;
    };
    using Values = std::array<Value, counters.size()>;

    static std::uint64_t gained(std::uint64_t before, std::uint64_t now, unsigned bits) {
        const std::uint64_t width = std::uint64_t{1} << bits;
        const std::uint64_t gain = (now - before) & (width - 1);
        const bool fell = now % width < before % width;
        return fell && gain > width / 2 ? 0 : gain;
    }

    Values widened(const Key& key, const Reading& reading) const {
        const auto before = before_.find(key);
        Values values;
        for (std::size_t i = 0; i < counters.size(); ++i) {
            const std::uint64_t now = reading.*counters[i].member;
            values[i] = {.read = now, .whole = now};
            if (before == before_.end()) continue;
            const Value& last = before->second[i];
            values[i].whole = last.whole + gained(last.read, now, counters[i].bits);
        }
        return values;
    }

    static void fill(const Values& values, Reading& reading) {
        for (std::size_t i = 0; i < counters.size(); ++i) reading.*counters[i].member = values[i].whole;
    }

    std::map<Key, Values> before_;
    std::map<Key, Values> now_;
};

} // namespace bpftune::probes

// SPDX-License-Identifier: Apache-2.0
// Whether what comes is a flood: traffic that fills a queue or a table and of which nothing comes. Pure.
//
// Each function says what speaks for a flood, in one short sentence, or nothing. One interval is not proof: a burst
// whose handshakes are on their way looks the same for as long as they take. `SynWatch` asks for two in a row.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"

namespace bpftune::signals {

// What speaks for a flood.
using Sign = std::optional<std::string>;

// What became of SYNs in one network namespace: counts since the source began.
struct SynCounts {
    std::uint64_t cookies_sent = 0;
    std::uint64_t cookies_returned = 0;
    std::uint64_t refused = 0;             // by a full SYN queue, where syncookies are off
    std::uint64_t half_open = 0;           // now, in SYN queues that are nearly full: no count
    std::optional<std::uint64_t> arrivals; // completed handshakes; nullopt: not seen
};

// `gained` in `interval`: at least 100 cookies a second, and a quarter of all, did not come back; a client that is
// there sends its back within a round trip. Without syncookies: at least 100 SYNs a second were refused, and those
// whose handshakes are under way cannot be clients, as they would take longer than three seconds for them.
Sign syn_flood(const SynCounts& gained, Nanoseconds interval);

// The listener's window: at least 100 connections a second came, the queue stayed more than half full and overflowed,
// and not one in a hundred was accepted. Where none at all is, the application hangs or is stopped, whatever comes,
// unless it was flooded in the window `before`. One that is slow by so much looks the same as one that is flooded.
Sign connect_flood(const Listener& listener, const Sign& before = {});

// What the unanswered entries of a conntrack table do, as one sample after another tells it. Half of a table that
// nobody answers is a flood only while it is these that come: a constant mass of them (VXLAN, answers that pass
// elsewhere) is none, and neither are answered ones that grow beside it.
class UnansweredWatch {
public:
    // Packets that the table refused, and entries that it evicted, since the tick before: they would have been of the
    // kind that got in meanwhile.
    void lost(std::uint64_t count) { lost_ += count; }

    // `entries`: in the table that it is of.
    void look(probes::ConntrackSample sample, std::uint64_t entries, MonoTime now);

    [[nodiscard]] std::optional<double> ratio() const; // unanswered, of all; nullopt: not looked at, or no entries
    [[nodiscard]] std::optional<std::string> are() const { return are_; } // where they are half of all: what most are
    [[nodiscard]] bool seen_once() const { return before_ && !judged_; }  // whether they grow is not known yet
    [[nodiscard]] const Sign& flood() const { return flood_; }

private:
    std::optional<probes::ConntrackSample> before_; // what the next one is compared with
    MonoTime since_;                                // when that was taken
    std::uint64_t lost_ = 0;                        // since then
    std::size_t looked_at_ = 0;                     // of the last sample
    std::size_t unanswered_ = 0;
    std::optional<std::string> are_;
    bool judged_ = false;
    Sign flood_;
};

// A namespace's SYN flood, as one count after another tells it.
class SynWatch {
public:
    // Nothing is concluded of less than half a second: ticks come early when a table is full.
    void update(const SynCounts& counts, MonoTime now);

    [[nodiscard]] const Sign& flood() const { return flood_; }

private:
    std::optional<MonoTime> since_;
    SynCounts base_;
    bool suspected_ = false; // in the interval before
    Sign flood_;
};

} // namespace bpftune::signals

// SPDX-License-Identifier: Apache-2.0
// The conntrack table, by network namespace: what became of the connections that it did not take, each cause by itself.
// Pure.
//
// The kernel counts them in four numbers that overlap (net/netfilter/nf_conntrack_core.c, 5.10 to 7.2):
//
//   where                            drop  early_drop  insert_failed  chaintoolong
//   __nf_conntrack_alloc, full         1
//   early_drop, full                         each
//   nf_ct_resolve_clash, unresolved    1                    1
//   __nf_conntrack_confirm, chain                           1              1
//   the same, dying entry                                   1
//
// so what a full table refused is drop - (insert_failed - chaintoolong), and not even that: memory that could not be
// had and some packets of TCP that are out of sequence are in `drop` too. It is taken for that only where the table was
// seen near its limit, or was full for certain: an entry was evicted, or BPF has seen it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "probes/readings.hpp"
#include "signals/clash.hpp"
#include "signals/flood.hpp"

namespace bpftune::signals {

class ConntrackTables {
public:
    struct Limits {
        std::uint64_t entries = 0;
        std::uint64_t buckets = 0;
    };

    // nf_conntrack is not loaded: what is loaded later counts from its birth. Any other table that is seen for the
    // first time, or again, counts from then.
    void unloaded();

    // One tick, `interval` after the one before. A reading of some other time (ConntrackReading::read) counts once.
    void update(std::span<const probes::ConntrackReading> readings, const Limits& limits, MonoTime now,
                Nanoseconds interval);

    // BPF has seen it full since the last tick.
    void was_full(const NetnsId& netns);

    // Whose entries are to be looked at before anything is concluded, the one that has waited longest first.
    [[nodiscard]] std::vector<NetnsId> waiting(MonoTime now) const;

    // nullopt: they could not be.
    void sampled(const NetnsId& netns, std::optional<probes::ConntrackSample> sample, MonoTime now);

    // Once in a tick, after the samples. nullopt: no such table in it.
    std::optional<Conntrack> row(const NetnsId& netns, MonoTime now);

private:
    struct Table {
        Conntrack row;
        probes::ConntrackReading last;
        bool seen = false; // in the last tick
        MonoTime last_seen;
        bool full = false;
        MonoTime sampled;
        UnansweredWatch unanswered;
        std::optional<ConntrackStates> states; // of the last sample
        std::optional<Clash> clash;            // of the last look after one
        MonoTime clashed;                      // last
    };

    static void count(Table& table, const probes::ConntrackReading& now, const Limits& limits);
    static void nothing_new(Table& table, const Limits& limits, MonoTime now);
    static void attribute(Table& table, MonoTime now);

    std::map<NetnsId, Table> tables_;
    bool born_ = false; // at the next tick all tables are new
};

} // namespace bpftune::signals

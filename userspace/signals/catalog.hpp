// SPDX-License-Identifier: Apache-2.0
// The signals: one row each. The JSON field, the metric's name and HELP, the column of `top` and docs/signals.md all
// come from the row; a view never has a list of its own. A new signal is a new row here and what fills its field of
// the Snapshot.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "core/change.hpp"
#include "core/snapshot.hpp"

namespace bpftune::signals {

// monostate: unknown, null in JSON.
using Value = std::variant<std::monostate, std::uint64_t, double, std::string, Pod>;

enum class Kind {
    label,   // says what the row is about; never a metric
    gauge,   // may rise and fall
    counter, // since the source began
};

// How the gauges of rows that have the same labels become one number. Counters are always summed.
enum class Aggregate { sum, max, min };

// What `top` puts the most troubled rows first by.
enum class Rank {
    none,
    loss_rate, // losses per second now: what counts most
    loss,      // losses since the source began: any is worth a look
    use,       // of `limit`
    limit,
};

// Whether a cell shares the column of a signal before it: the one of the same heading, else the last.
enum class Join {
    none,
    colon,     // behind it: address, port
    instead,   // in its place when known: command, pod
    otherwise, // in its place when nothing else is known: pod, unit
    beside,    // in parentheses behind it, when nothing else shares it: command, unit
    also,      // after a plus behind all of it: unit, who else holds the socket
};

struct Signal {
    std::string_view name; // "listener.overflows"
    Kind kind;
    // Of a counter, those of the narrowest of the kernel's that it is made of, on a machine of 64: a signal has 64 all
    // the same, what is narrower is widened as it is read (probes/widened.hpp; UDP sockets' in bpf/lib/udp.h).
    unsigned bits = 0;
    std::string_view json;   // field in a row of `top -o json`
    std::string_view metric; // whole Prometheus name in base units, "_total" on counters; empty: no metric
    bool by_pod =
        false; // in a table of pods, each has a series of the metric, for an alert or a graph; else they share one
    std::string_view column; // heading in `top`; empty: not shown there
    unsigned width = 0;      // columns there that it can always have; text is cut to it where space is short
    std::string_view help;   // one sentence, for people: HELP line, docs
    std::string_view source; // the kernel's own name for it
    Aggregate aggregate = Aggregate::sum;
    Rank rank = Rank::none;
    Join join = Join::none;
    bool wide = false;             // shown only where every column fits
    bool sparse = false;           // shown only where some row has it
    bool zero_is_no_limit = false; // then 0 is "none" in `top`, and no sample
    std::string_view note;         // where known, `top` says it in a line below the row, after this word
};

// How rows of one table become one series: summed over all rows that have the same labels.
enum class Labels {
    none,
    pod, // namespace, pod, container; empty for what belongs to no pod
    cpu,
    family, // of addresses
    protocol,
};

// Numbers by which an object is told from every other one of its table.
using Identity = std::array<std::uint64_t, 4>;

struct Table {
    std::string_view json;  // key in `top -o json`: "listeners"
    std::string_view title; // heading in `top`
    Probe probe;            // which ladder feeds it
    Labels labels;
    std::span<const Signal> signals;
    std::size_t (*rows)(const Snapshot&);
    Value (*cell)(const Snapshot&, std::size_t row, std::size_t signal);
    // Stable for one object as long as it lives: what a counter's history hangs on.
    Identity (*identity)(const Snapshot&, std::size_t row);
};

std::span<const Table> catalog();

} // namespace bpftune::signals

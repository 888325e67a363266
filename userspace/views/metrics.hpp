// SPDX-License-Identifier: Apache-2.0
// The Prometheus text format (0.0.4) of the signals and of what the service did. Labels name a pod or a CPU, never a
// process, port, address or network namespace: the number of series stays that of the pods.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include <prometheus/metric_family.h>

#include "core/change.hpp"
#include "core/snapshot.hpp"
#include "signals/catalog.hpp"

namespace bpftune::views {

// Not for several threads at once.
class Metrics {
public:
    explicit Metrics(std::string version);

    // A snapshot of a pressure event is not the whole node and changes nothing.
    void update(const Snapshot& snapshot, std::string_view mode);

    // Of the service itself.
    struct Health {
        std::string policy_name; // of the policy in force
        std::string policy_hash;
        bool policy_loaded = true; // the last one that was to be loaded
        bool journal_writable = true;
    };
    void update(Health health) { health_ = std::move(health); }

    // To be called each time that a change reaches a state, the first one included.
    void changed(TunableId tunable, ChangeState state);

    [[nodiscard]] std::string text() const;

private:
    using Labels = std::vector<prometheus::ClientMetric::Label>;

    // A counter never falls while its series lives, though the rows that it sums over come and go.
    struct Total {
        std::uint64_t value = 0;
        MonoTime seen;
    };
    // What has the same labels: by signal, as in the catalog.
    struct Series {
        std::vector<std::optional<double>> gauges; // of the last tick
        std::vector<std::optional<Total>> totals;
    };
    // For each signal: what is in the totals already.
    struct Counted {
        std::vector<std::uint64_t> values;
        MonoTime seen;
    };
    struct TableSeries {
        std::map<Labels, Series> by_labels;
        std::unordered_map<std::string, Counted> rows; // by identity; those that were gone a short while ago as well
    };

    static void update(const signals::Table& table, TableSeries& of_table, const Snapshot& snapshot);
    static void add_row(const signals::Table& table, Series& series, Counted& counted, const Snapshot& snapshot,
                        std::size_t row);
    static void forget_rows(TableSeries& of_table, std::size_t rows, MonoTime now);
    static void forget_series(TableSeries& of_table, MonoTime now);
    [[nodiscard]] std::vector<prometheus::MetricFamily> signal_families() const;
    [[nodiscard]] std::vector<prometheus::MetricFamily> service_families() const;
    [[nodiscard]] std::vector<prometheus::MetricFamily> health_families() const;
    [[nodiscard]] prometheus::MetricFamily expected_family() const;

    std::string version_;
    std::string mode_;
    Health health_;
    std::array<Rung, all_probes.size()> sources_{};
    std::vector<ExpectedSysctl> expected_;
    std::uint64_t lost_events_ = 0;
    std::uint64_t withheld_events_ = 0;
    std::vector<TableSeries> tables_; // as in the catalog
    std::map<TunableId, std::array<std::uint64_t, all_change_states.size()>> changes_;
};

} // namespace bpftune::views

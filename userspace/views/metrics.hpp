// SPDX-License-Identifier: Apache-2.0
// The Prometheus text format (0.0.4) of the signals and of what the service did. Labels name a pod or a CPU, never a
// process, port, address or network namespace. The number of series has a limit: pods beyond it are summed up as one,
// namespace="", pod="other", container="", which no pod of Kubernetes can be. So are all pods in what is not for each
// of them (Signal::by_pod). A gauge that is 0 has no sample in a pod's own series: it takes no room until it is
// something.
//
// No counter falls while its series lives. What is counted goes to one series alone, so that sums of rates are right:
// that of the pod while it has one, else `other`. increase() of Prometheus leaves out what a series begins with: one
// that begins after the first scrape shows zero until that was scraped, and then all that it has counted. A series that
// ends takes along what was scraped of it, the rest goes to `other`; one that begins again begins at zero.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include <prometheus/metric_family.h>

#include "core/change.hpp"
#include "core/process_use.hpp"
#include "core/snapshot.hpp"
#include "signals/catalog.hpp"

namespace bpftune::views {

// Not for several threads at once.
class Metrics {
public:
    explicit Metrics(std::string version);
    Metrics(const Metrics&) = delete; // it points into itself
    Metrics& operator=(const Metrics&) = delete;
    ~Metrics() = default;

    // To be called before update() where the text() since the last update() was scraped.
    void scraped();

    // A snapshot of a pressure event is not the whole node and changes nothing.
    void update(const Snapshot& snapshot, std::string_view mode);

    // Of the service itself.
    struct Health {
        std::string policy_name; // of the policy in force
        std::string policy_hash;
        bool policy_loaded = true; // the last one that was to be loaded
        WallTime policy_loaded_at; // the one in force
        bool journal_writable = true;
        std::uint64_t memory_charged_bytes = 0; // for all raises that are held
        std::uint64_t memory_budget_bytes = 0;
        std::map<TunableId, std::size_t> held; // values of ours in force
        ProcessUse process;
    };
    void update(Health health) { health_ = std::move(health); }

    // How many series text() has at most, from the next snapshot on. What is not of pods is never left out
    // (policy/keys.hpp, fewest_series).
    void limit_series(std::size_t most);

    // To be called each time that the change of a decision reaches a state, the first one included.
    void changed(const Decision& decision, ChangeState state);
    // A value of an earlier run is held.
    void adopted(TunableId tunable) { changes_.try_emplace(tunable); }

    [[nodiscard]] std::string text() const;

private:
    using Labels = std::vector<prometheus::ClientMetric::Label>;

    // A counter never falls while its series lives, though the rows that it sums over come and go.
    struct Total {
        std::uint64_t value = 0;
        std::uint64_t scraped = 0; // of these, when it was last scraped
        MonoTime begun;
        MonoTime seen;
        bool is_held = false; // its zero was not scraped yet

        [[nodiscard]] std::uint64_t shown() const { return is_held ? 0 : value; }
    };
    // Where a table's metrics are kept: labels, and what is no metric, take no room in each series and row.
    struct Layout {
        std::vector<std::size_t> places; // by signal: its place among the counters, or among the gauges
        std::size_t counters = 0;
        std::size_t gauges = 0;
    };
    static Layout layout_of(const signals::Table& table);
    // What has the same labels.
    struct Series {
        std::vector<std::optional<double>> gauges; // of the last tick
        std::vector<std::optional<Total>> totals;

        void make_room(const Layout& layout) {
            gauges.resize(layout.gauges);
            totals.resize(layout.counters);
        }
    };
    // For each counter: what is in the totals already.
    struct Counted {
        std::vector<std::uint64_t> values;
        MonoTime seen;
    };
    struct IdentityHash {
        std::size_t operator()(const signals::Identity& identity) const {
            std::size_t hash = 0;
            for (const std::uint64_t number : identity) hash = (hash ^ number) * 0x9e3779b97f4a7c15;
            return hash ^ (hash >> 32);
        }
    };
    struct TableSeries {
        using Rows = std::unordered_map<signals::Identity, Counted, IdentityHash>;

        Layout layout;
        std::map<Labels, Series> by_labels;
        Rows rows;                                 // those that were gone a short while ago as well
        std::vector<Rows::value_type*> last_order; // of the last tick: most rows are in the same place again

        Counted& counted(std::size_t row, const signals::Identity& identity);
    };

    using Signals = std::bitset<128>;                    // of one table
    using PodName = std::pair<std::string, std::string>; // namespace, name: as labels
    // A pod that has gone keeps its counters for so long, that the last scrape sees all of them; no longer, for pods
    // come and go without end.
    static constexpr Nanoseconds series_lifetime = std::chrono::minutes(15);
    // What is there has been scraped by then, or nobody scrapes.
    static constexpr Nanoseconds until_scraped = std::chrono::minutes(2);

    struct PodState {
        double lost = 0; // as in PodCandidate, as is the next
        double fullest = 0;
        MonoTime seen;
        bool has_own = false;
        // By place in the catalog and container: the signals that have, or would have, a series of its own. Containers
        // come and go as long as their pod stays.
        struct Had {
            Signals signals;
            MonoTime seen;
        };
        std::map<std::pair<std::size_t, std::string>, Had> had;

        [[nodiscard]] std::size_t series() const;
    };
    // Where a row is added to.
    struct Target {
        Series* series = nullptr;
        Series* shared = nullptr; // for what is not by pod
        PodState* pod = nullptr;  // nullptr: no pod, or nothing is remembered of it
        Signals* had = nullptr;
    };

    // Of one tunable.
    struct Changes {
        std::map<ChangeState, Total> reached;
        std::optional<Total> put_back; // over somebody else's value
    };

    static void begin_tick(TableSeries& of_table, MonoTime now);
    std::vector<Total*> totals_of_changes();
    [[nodiscard]] Total new_total(MonoTime now) const;
    static Labels labels_of_pod(std::string_view ns, std::string_view name, std::string_view container);
    void update_table(std::size_t place, const Snapshot& snapshot);
    Target target_of(std::size_t place, const signals::Value& label, const Snapshot& snapshot);
    Target target_of_pod(std::size_t place, const Pod& pod, MonoTime now);
    Series& of_others(std::size_t place);
    void add_row(std::size_t place, const Target& target, Counted& counted, const Snapshot& snapshot,
                 std::size_t row) const;
    void choose(MonoTime now);
    void forget_pods(MonoTime now);
    void end_series(const PodName& name, MonoTime now);
    void end_series(std::size_t place, const Series& series, MonoTime now);
    [[nodiscard]] std::size_t series_without_pods() const;
    [[nodiscard]] std::size_t series_of_service() const;
    static void forget_rows(TableSeries& of_table, std::size_t rows, MonoTime now);
    static void forget_series(TableSeries& of_table, MonoTime now);
    [[nodiscard]] std::vector<prometheus::MetricFamily> signal_families() const;
    [[nodiscard]] std::vector<prometheus::MetricFamily> service_families() const;
    [[nodiscard]] std::vector<prometheus::MetricFamily> health_families() const;
    [[nodiscard]] prometheus::MetricFamily expected_family() const;
    [[nodiscard]] prometheus::MetricFamily held_family() const;
    [[nodiscard]] std::vector<prometheus::MetricFamily> process_families() const;
    [[nodiscard]] std::vector<prometheus::MetricFamily> series_families(std::size_t others) const;

    std::string version_;
    std::string mode_;
    Health health_;
    std::array<Rung, all_probes.size()> sources_{};
    std::vector<ExpectedSysctl> expected_;
    std::uint64_t lost_events_ = 0;
    std::uint64_t withheld_events_ = 0;
    std::vector<TableSeries> tables_; // as in the catalog
    std::map<PodName, PodState> pods_;
    std::size_t most_series_ = 1000;
    std::size_t left_ = 0; // of these, for a pod that is seen for the first time
    MonoTime chosen_;
    bool is_updated_ = false;              // by a snapshot
    bool is_scraped_ = false;              // since then
    std::map<TunableId, Changes> changes_; // of those that the service has set or had something to say of
};

} // namespace bpftune::views

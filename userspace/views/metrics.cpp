// SPDX-License-Identifier: Apache-2.0
#include "views/metrics.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include <prometheus/text_serializer.h>

#include "tunables/catalog.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using signals::Aggregate;
using signals::Kind;
using signals::Signal;
using signals::Table;
using Labels = std::vector<ClientMetric::Label>;

// A pod that has gone keeps its counters for so long, that the last scrape sees all of them; no longer, for pods come
// and go without end.
constexpr auto series_lifetime = std::chrono::minutes(15);
// Rows that may come back with what they counted before. Past so many, the others are counted from zero.
constexpr std::size_t most_gone = 4096;

signals::Value label_of(const Table& table, const Snapshot& snapshot, std::size_t row, std::string_view json) {
    const auto found = std::ranges::find(table.signals, json, &Signal::json);
    if (found == table.signals.end()) return {};
    return table.cell(snapshot, row, static_cast<std::size_t>(found - table.signals.begin()));
}

Labels labels_of(const Table& table, const Snapshot& snapshot, std::size_t row) {
    switch (table.labels) {
    case signals::Labels::none: return {};
    case signals::Labels::cpu: {
        const signals::Value cpu = label_of(table, snapshot, row, "cpu");
        const auto* const number = std::get_if<std::uint64_t>(&cpu);
        return {{"cpu", number != nullptr ? std::to_string(*number) : ""}};
    }
    case signals::Labels::pod: {
        const signals::Value value = label_of(table, snapshot, row, "pod");
        const auto* const known = std::get_if<Pod>(&value);
        const Pod pod = known != nullptr ? *known : Pod{};
        return {{"namespace", terminal_safe(pod.ns)},
                {"pod", terminal_safe(pod.name)},
                {"container", terminal_safe(pod.container)}};
    }
    }
    std::unreachable();
}

std::optional<double> number_of(const signals::Value& value) {
    if (const auto* const whole = std::get_if<std::uint64_t>(&value)) return static_cast<double>(*whole);
    if (const auto* const real = std::get_if<double>(&value)) return *real;
    return std::nullopt;
}

bool is_no_limit(const Signal& signal, const signals::Value& value) {
    const auto* const whole = std::get_if<std::uint64_t>(&value);
    return signal.zero_is_no_limit && whole != nullptr && *whole == 0;
}

double folded(Aggregate aggregate, double a, double b) {
    switch (aggregate) {
    case Aggregate::sum: return a + b;
    case Aggregate::max: return std::max(a, b);
    case Aggregate::min: return std::min(a, b);
    }
    std::unreachable();
}

std::string help_of(const Signal& signal) {
    std::string help(signal.help);
    if (signal.kind == Kind::gauge && signal.aggregate == Aggregate::max)
        help += " The largest of all with these labels.";
    if (signal.kind == Kind::gauge && signal.aggregate == Aggregate::min)
        help += " The least of all with these labels.";
    return help;
}

ClientMetric sample(MetricType type, Labels labels, double value) {
    ClientMetric metric;
    metric.label = std::move(labels);
    (type == MetricType::Counter ? metric.counter.value : metric.gauge.value) = value;
    return metric;
}

} // namespace

Metrics::Metrics(std::string version) : version_(std::move(version)) {
    sources_.fill(Rung::none);
    for (const Table& table : signals::catalog())
        tables_.push_back({.signals = std::vector<SignalSeries>(table.signals.size()), .rows = {}});
    for (const tunables::Tunable& tunable : tunables::catalog()) changes_[tunable.id] = {};
}

void Metrics::update(const Snapshot& snapshot, std::string_view mode) {
    if (snapshot.cause != Snapshot::Cause::tick) return;
    mode_ = mode;
    sources_ = snapshot.sources;
    lost_events_ = snapshot.lost_events;
    withheld_events_ = snapshot.withheld_events;
    const auto catalog = signals::catalog();
    for (std::size_t i = 0; i < catalog.size(); ++i) update(catalog[i], tables_[i], snapshot);
}

void Metrics::update(const Table& table, TableSeries& series, const Snapshot& snapshot) {
    for (SignalSeries& signal : series.signals) signal.gauges.clear();
    const RowCounts before = std::exchange(series.rows, {});
    const std::size_t rows = snapshot.source(table.probe) == Rung::none ? 0 : table.rows(snapshot);
    for (std::size_t row = 0; row < rows; ++row) add_row(table, series, before, snapshot, row);
    for (const auto& [identity, gone] : before) {
        if (series.rows.size() >= rows + most_gone) break;
        if (snapshot.time.mono - gone.seen <= gone_remembered) series.rows.try_emplace(identity, gone);
    }
    for (SignalSeries& signal : series.signals)
        std::erase_if(signal.totals,
                      [&](const auto& entry) { return snapshot.time.mono - entry.second.seen > series_lifetime; });
}

void Metrics::add_row(const Table& table, TableSeries& series, const RowCounts& before, const Snapshot& snapshot,
                      std::size_t row) {
    const Labels labels = labels_of(table, snapshot, row);
    const std::string identity = table.identity(snapshot, row);
    const auto known = before.find(identity);
    RowCounts::mapped_type& row_counts = series.rows[identity];
    std::vector<std::uint64_t>& counted = row_counts.values;
    counted = known != before.end() ? known->second.values : std::vector<std::uint64_t>(table.signals.size());
    row_counts.seen = snapshot.time.mono;
    for (std::size_t i = 0; i < table.signals.size(); ++i) {
        const Signal& signal = table.signals[i];
        const signals::Value value = table.cell(snapshot, row, i);
        const auto number = signal.metric.empty() || is_no_limit(signal, value) ? std::nullopt : number_of(value);
        if (!number) continue;
        if (signal.kind == Kind::counter) {
            const std::uint64_t now = std::max(std::get<std::uint64_t>(value), counted[i]);
            Total& total = series.signals[i].totals[labels];
            total = {total.value + now - counted[i], snapshot.time.mono};
            counted[i] = now;
        } else {
            const auto [gauge, first] = series.signals[i].gauges.try_emplace(labels, *number);
            if (!first) gauge->second = folded(signal.aggregate, gauge->second, *number);
        }
    }
}

void Metrics::changed(TunableId tunable, ChangeState state) { ++changes_[tunable][static_cast<std::size_t>(state)]; }

std::vector<MetricFamily> Metrics::signal_families() const {
    std::vector<MetricFamily> families;
    const auto catalog = signals::catalog();
    for (std::size_t table = 0; table < catalog.size(); ++table) {
        for (std::size_t i = 0; i < catalog[table].signals.size(); ++i) {
            const Signal& signal = catalog[table].signals[i];
            const MetricType type = signal.kind == Kind::counter ? MetricType::Counter : MetricType::Gauge;
            MetricFamily family{std::string(signal.metric), help_of(signal), type, {}};
            const SignalSeries& series = tables_[table].signals[i];
            for (const auto& [labels, total] : series.totals)
                family.metric.push_back(sample(type, labels, static_cast<double>(total.value)));
            for (const auto& [labels, value] : series.gauges) family.metric.push_back(sample(type, labels, value));
            if (!family.metric.empty()) families.push_back(std::move(family));
        }
    }
    return families;
}

std::vector<MetricFamily> Metrics::health_families() const {
    using enum MetricType;
    MetricFamily policy{
        "bpftune_policy_info", "The policy in force, and the hash that `policy show` prints of it.", Gauge, {}};
    policy.metric.push_back(
        sample(Gauge, {{"name", terminal_safe(health_.policy_name)}, {"hash", health_.policy_hash}}, 1));
    MetricFamily loaded{"bpftune_policy_last_reload_successful",
                        "1: the last policy that was to be loaded was. 0: it was refused, the one before it stays.",
                        Gauge,
                        {}};
    loaded.metric.push_back(sample(Gauge, {}, health_.policy_loaded ? 1 : 0));
    MetricFamily journal{
        "bpftune_journal_writable", "0: no change can be recorded in the journal, so none is made.", Gauge, {}};
    journal.metric.push_back(sample(Gauge, {}, health_.journal_writable ? 1 : 0));
    return {std::move(policy), std::move(loaded), std::move(journal)};
}

std::vector<MetricFamily> Metrics::service_families() const {
    using enum MetricType;
    MetricFamily changes{"bpftune_changes_total", "Changes that have reached this state.", Counter, {}};
    for (const auto& [tunable, counts] : changes_)
        for (const ChangeState state : all_change_states)
            changes.metric.push_back(sample(
                Counter,
                {{"tunable", std::string(tunables::row(tunable).name)}, {"state", std::string(to_string(state))}},
                static_cast<double>(counts[static_cast<std::size_t>(state)])));
    MetricFamily sources{"bpftune_source_info", "How each probe measures on this node.", Gauge, {}};
    for (const Probe probe : all_probes)
        sources.metric.push_back(sample(Gauge,
                                        {{"probe", std::string(to_string(probe))},
                                         {"source", std::string(to_string(sources_[static_cast<std::size_t>(probe)]))}},
                                        1));
    MetricFamily mode{"bpftune_mode", "Mode that the service runs in.", Gauge, {}};
    if (!mode_.empty()) mode.metric.push_back(sample(Gauge, {{"mode", mode_}}, 1));
    MetricFamily lost{"bpftune_lost_events_total", "Events that BPF could not pass on.", Counter, {}};
    lost.metric.push_back(sample(Counter, {}, static_cast<double>(lost_events_)));
    MetricFamily withheld{"bpftune_withheld_events_total",
                          "Events that were not passed on, because there were too many of their kind.",
                          Counter,
                          {}};
    withheld.metric.push_back(sample(Counter, {}, static_cast<double>(withheld_events_)));
    MetricFamily build{"bpftune_build_info", "Version of the service.", Gauge, {}};
    build.metric.push_back(sample(Gauge, {{"version", version_}}, 1));
    return {std::move(build), std::move(mode),     std::move(sources),
            std::move(lost),  std::move(withheld), std::move(changes)};
}

std::string Metrics::text() const {
    std::vector<MetricFamily> families = signal_families();
    std::ranges::move(service_families(), std::back_inserter(families));
    std::ranges::move(health_families(), std::back_inserter(families));
    return prometheus::TextSerializer().Serialize(families);
}

} // namespace bpftune::views

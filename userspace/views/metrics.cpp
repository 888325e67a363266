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

// The signal that the labels are taken from.
std::string_view signal_of(signals::Labels labels) {
    switch (labels) {
    case signals::Labels::none: return "";
    case signals::Labels::cpu: return "cpu";
    case signals::Labels::family: return "family";
    case signals::Labels::protocol: return "protocol";
    case signals::Labels::pod: return "pod";
    }
    std::unreachable();
}

std::size_t place_of(const Table& table, std::string_view json) {
    return static_cast<std::size_t>(std::ranges::find(table.signals, json, &Signal::json) - table.signals.begin());
}

signals::Value label_of(const Table& table, const Snapshot& snapshot, std::size_t row, std::size_t place) {
    return place < table.signals.size() ? table.cell(snapshot, row, place) : signals::Value{};
}

Labels labels_of(const Table& table, const signals::Value& label) {
    switch (table.labels) {
    case signals::Labels::none: return {};
    case signals::Labels::cpu: {
        const auto* const number = std::get_if<std::uint64_t>(&label);
        return {{"cpu", number != nullptr ? std::to_string(*number) : ""}};
    }
    case signals::Labels::family: {
        const auto* const text = std::get_if<std::string>(&label);
        return {{"family", text != nullptr ? *text : ""}};
    }
    case signals::Labels::protocol: {
        const auto* const text = std::get_if<std::string>(&label);
        return {{"protocol", text != nullptr ? *text : ""}};
    }
    case signals::Labels::pod: {
        const auto* const known = std::get_if<Pod>(&label);
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
    tables_.resize(signals::catalog().size());
    for (const tunables::Tunable& tunable : tunables::catalog()) changes_[tunable.id] = {};
}

void Metrics::update(const Snapshot& snapshot, std::string_view mode) {
    if (snapshot.cause != Snapshot::Cause::tick) return;
    mode_ = mode;
    sources_ = snapshot.sources;
    expected_ = snapshot.expected;
    lost_events_ = snapshot.lost_events;
    withheld_events_ = snapshot.withheld_events;
    const auto catalog = signals::catalog();
    for (std::size_t i = 0; i < catalog.size(); ++i) update(catalog[i], tables_[i], snapshot);
}

void Metrics::update(const Table& table, TableSeries& of_table, const Snapshot& snapshot) {
    const MonoTime now = snapshot.time.mono;
    for (auto& [labels, series] : of_table.by_labels) std::ranges::fill(series.gauges, std::nullopt);
    const std::size_t rows = snapshot.source(table.probe) == Rung::none ? 0 : table.rows(snapshot);
    const std::size_t place = place_of(table, signal_of(table.labels));
    signals::Value label;
    Series* series = nullptr; // of these: most rows have the labels of the one before
    for (std::size_t row = 0; row < rows; ++row) {
        auto other = label_of(table, snapshot, row, place);
        if (series == nullptr || other != label) {
            label = std::move(other);
            series = &of_table.by_labels[labels_of(table, label)];
            series->gauges.resize(table.signals.size());
            series->totals.resize(table.signals.size());
        }
        Counted& counted = of_table.rows[table.identity(snapshot, row)];
        counted.values.resize(table.signals.size());
        counted.seen = now;
        add_row(table, *series, counted, snapshot, row);
    }
    forget_rows(of_table, rows, now);
    forget_series(of_table, now);
}

// Of too many that are gone, those that were seen last stay.
void Metrics::forget_rows(TableSeries& of_table, std::size_t rows, MonoTime now) {
    if (of_table.rows.size() <= rows) return;
    std::erase_if(of_table.rows, [&](const auto& entry) { return now - entry.second.seen > gone_remembered; });
    if (of_table.rows.size() <= rows + most_gone) return;
    std::vector<std::pair<MonoTime, std::string>> gone;
    for (const auto& [identity, counted] : of_table.rows)
        if (counted.seen != now) gone.emplace_back(counted.seen, identity);
    std::ranges::sort(gone);
    gone.resize(std::min(gone.size(), of_table.rows.size() - rows - most_gone));
    for (const auto& [seen, identity] : gone) of_table.rows.erase(identity);
}

void Metrics::forget_series(TableSeries& of_table, MonoTime now) {
    const auto is_old = [&](const std::optional<Total>& total) { return total && now - total->seen > series_lifetime; };
    const auto is_there = [](const auto& value) { return value.has_value(); };
    for (auto& [labels, series] : of_table.by_labels) std::ranges::replace_if(series.totals, is_old, std::nullopt);
    std::erase_if(of_table.by_labels, [&](const auto& entry) {
        const Series& series = entry.second;
        return std::ranges::none_of(series.totals, is_there) && std::ranges::none_of(series.gauges, is_there);
    });
}

void Metrics::add_row(const Table& table, Series& series, Counted& counted, const Snapshot& snapshot, std::size_t row) {
    for (std::size_t i = 0; i < table.signals.size(); ++i) {
        const Signal& signal = table.signals[i];
        if (signal.metric.empty()) continue;
        const signals::Value value = table.cell(snapshot, row, i);
        const auto number = is_no_limit(signal, value) ? std::nullopt : number_of(value);
        if (!number) continue;
        if (signal.kind == Kind::counter) {
            const std::uint64_t now = std::max(std::get<std::uint64_t>(value), counted.values[i]);
            const std::uint64_t total = series.totals[i] ? series.totals[i]->value : 0;
            series.totals[i] = {total + now - counted.values[i], snapshot.time.mono};
            counted.values[i] = now;
        } else {
            std::optional<double>& gauge = series.gauges[i];
            gauge = gauge ? folded(signal.aggregate, *gauge, *number) : *number;
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
            for (const auto& [labels, series] : tables_[table].by_labels) {
                const auto& total = series.totals[i];
                if (total) family.metric.push_back(sample(type, labels, static_cast<double>(total->value)));
                if (series.gauges[i]) family.metric.push_back(sample(type, labels, *series.gauges[i]));
            }
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
    std::vector<MetricFamily> families{std::move(policy), std::move(loaded), std::move(journal)};
    if (!expected_.empty()) families.push_back(expected_family());
    return families;
}

// One that could not be read has no sample: it may be as expected.
MetricFamily Metrics::expected_family() const {
    MetricFamily expected{"bpftune_expected_sysctl",
                          "1: it is as the policy expects. 0: it is not, or this node has no such sysctl.",
                          MetricType::Gauge,
                          {}};
    for (const ExpectedSysctl& each : expected_)
        if (each.found || each.absent)
            expected.metric.push_back(
                sample(MetricType::Gauge, {{"sysctl", terminal_safe(each.name)}}, each.is_met() ? 1 : 0));
    return expected;
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

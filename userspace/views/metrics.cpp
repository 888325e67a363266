// SPDX-License-Identifier: Apache-2.0
#include "views/metrics.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

#include "tunables/catalog.hpp"

namespace bpftune::views {
namespace {

using prometheus::ClientMetric;
using signals::Aggregate;
using signals::Kind;
using signals::Rank;
using signals::Signal;
using signals::Table;
using Labels = std::vector<ClientMetric::Label>;

// Rows that may come back with what they counted before. Past so many, the others are counted from zero.
constexpr std::size_t most_gone = 4096;

// Beyond so many CPUs, all of them have one series.
constexpr std::size_t most_cpus = 32;

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

// Of a table that is not about pods.
Labels labels_of(const Table& table, const signals::Value& label, std::size_t rows) {
    const std::string name(signal_of(table.labels));
    if (name.empty()) return {};
    if (table.labels == signals::Labels::cpu && rows > most_cpus) return {{name, "all"}};
    if (const auto* const number = std::get_if<std::uint64_t>(&label)) return {{name, std::to_string(*number)}};
    const auto* const text = std::get_if<std::string>(&label);
    return {{name, text != nullptr ? *text : ""}};
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

} // namespace

Metrics::Metrics(std::string version) : version_(std::move(version)) {
    sources_.fill(Rung::none);
    for (const Table& table : signals::catalog()) tables_.emplace_back().layout = layout_of(table);
    choose({});
}

Metrics::Layout Metrics::layout_of(const Table& table) {
    Layout layout;
    for (const Signal& signal : table.signals) {
        std::size_t& next = signal.kind == Kind::counter ? layout.counters : layout.gauges;
        layout.places.push_back(next);
        if (!signal.metric.empty()) ++next;
    }
    return layout;
}

void Metrics::update(const Snapshot& snapshot, std::string_view mode) {
    if (snapshot.cause != Snapshot::Cause::tick) return;
    is_updated_ = true;
    mode_ = mode;
    sources_ = snapshot.sources;
    expected_ = snapshot.expected;
    lost_events_ = snapshot.lost_events;
    withheld_events_ = snapshot.withheld_events;
    for (std::size_t place = 0; place < tables_.size(); ++place) update_table(place, snapshot);
    for (Total* const total : totals_of_changes())
        if (snapshot.time.mono - total->begun > until_scraped) total->is_held = false;
    choose(snapshot.time.mono);
}

void Metrics::scraped() {
    is_scraped_ = is_scraped_ || is_updated_;
    for (TableSeries& of_table : tables_)
        for (auto& [labels, series] : of_table.by_labels)
            for (auto& total : series.totals) {
                if (!total) continue;
                total->scraped = total->shown();
                total->is_held = false;
            }
    for (Total* const total : totals_of_changes())
        if (total->begun < chosen_) total->is_held = false; // else it may be newer than the page
}

Metrics::Total Metrics::new_total(MonoTime now) const { return {.begun = now, .seen = now, .is_held = is_scraped_}; }

void Metrics::begin_tick(TableSeries& of_table, MonoTime now) {
    for (auto& [labels, series] : of_table.by_labels) {
        std::ranges::fill(series.gauges, std::nullopt);
        for (auto& total : series.totals)
            if (total && now - total->begun > until_scraped) total->is_held = false;
    }
}

std::vector<Metrics::Total*> Metrics::totals_of_changes() {
    std::vector<Total*> totals;
    for (auto& [tunable, changes] : changes_) {
        for (auto& [state, total] : changes.reached) totals.push_back(&total);
        if (changes.put_back) totals.push_back(&*changes.put_back);
    }
    return totals;
}

// To be called for each row of a tick in turn: what is at a place that it has not come to yet may be gone.
Metrics::Counted& Metrics::TableSeries::counted(std::size_t row, const signals::Identity& identity) {
    Rows::value_type*& known = last_order[row];
    if (known == nullptr || known->first != identity) known = &*rows.try_emplace(identity).first;
    return known->second;
}

void Metrics::update_table(std::size_t place, const Snapshot& snapshot) {
    const Table& table = signals::catalog()[place];
    TableSeries& of_table = tables_[place];
    const MonoTime now = snapshot.time.mono;
    begin_tick(of_table, now);
    const std::size_t rows = snapshot.source(table.probe) == Rung::none ? 0 : table.rows(snapshot);
    const std::size_t label_at = place_of(table, signal_of(table.labels));
    signals::Value label;
    Target target; // of these: most rows have the labels of the one before
    of_table.last_order.resize(rows);
    for (std::size_t row = 0; row < rows; ++row) {
        auto other = label_of(table, snapshot, row, label_at);
        if (target.series == nullptr || other != label) {
            label = std::move(other);
            target = target_of(place, label, snapshot);
            target.series->make_room(of_table.layout);
        }
        Counted& counted = of_table.counted(row, table.identity(snapshot, row));
        counted.values.resize(of_table.layout.counters);
        counted.seen = now;
        add_row(place, target, counted, snapshot, row);
    }
    forget_rows(of_table, rows, now);
    forget_series(of_table, now);
}

Metrics::Target Metrics::target_of(std::size_t place, const signals::Value& label, const Snapshot& snapshot) {
    const Table& table = signals::catalog()[place];
    auto& by_labels = tables_[place].by_labels;
    const auto* const pod = std::get_if<Pod>(&label);
    if (pod != nullptr) return target_of_pod(place, *pod, snapshot.time.mono);
    Series& series = by_labels[table.labels == signals::Labels::pod ? labels_of_pod("", "", "")
                                                                    : labels_of(table, label, table.rows(snapshot))];
    return {.series = &series, .shared = &series};
}

// Of too many that are gone, those that were seen last stay.
void Metrics::forget_rows(TableSeries& of_table, std::size_t rows, MonoTime now) {
    if (of_table.rows.size() <= rows) return;
    std::erase_if(of_table.rows, [&](const auto& entry) { return now - entry.second.seen > gone_remembered; });
    if (of_table.rows.size() <= rows + most_gone) return;
    std::vector<std::pair<MonoTime, signals::Identity>> gone;
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

void Metrics::add_row(std::size_t place, const Target& target, Counted& counted, const Snapshot& snapshot,
                      std::size_t row) const {
    const Table& table = signals::catalog()[place];
    const std::vector<std::size_t>& places = tables_[place].layout.places;
    double use = 0;
    for (std::size_t i = 0; i < table.signals.size(); ++i) {
        const Signal& signal = table.signals[i];
        if (signal.metric.empty()) continue;
        const signals::Value value = table.cell(snapshot, row, i);
        const auto number = is_no_limit(signal, value) ? std::nullopt : number_of(value);
        if (!number) continue;
        const bool is_of_pod = signal.by_pod && target.pod != nullptr;
        const bool is_empty = signal.kind == Kind::gauge && *number == 0;
        if (is_of_pod && !is_empty) target.had->set(i);
        Series& series = signal.by_pod ? *target.series : *target.shared;
        if (signal.kind == Kind::counter) {
            std::uint64_t& before = counted.values[places[i]];
            const std::uint64_t gained = std::max(std::get<std::uint64_t>(value), before) - before;
            std::optional<Total>& total = series.totals[places[i]];
            if (!total) total = new_total(snapshot.time.mono);
            total->value += gained;
            total->seen = snapshot.time.mono;
            if (target.pod != nullptr && signal.rank == Rank::loss) target.pod->lost += static_cast<double>(gained);
            before += gained;
        } else if (!(is_of_pod && is_empty && target.pod->has_own)) {
            std::optional<double>& gauge = series.gauges[places[i]];
            gauge = gauge ? folded(signal.aggregate, *gauge, *number) : *number;
        }
        if (signal.rank == Rank::use) use = *number;
        if (target.pod != nullptr && signal.rank == Rank::limit && *number > 0)
            target.pod->fullest = std::max(target.pod->fullest, use / *number);
    }
}

void Metrics::changed(const Decision& decision, ChangeState state) {
    Changes& changes = changes_[decision.tunable];
    ++changes.reached.try_emplace(state, new_total(chosen_)).first->second.value;
    const bool is_written = state == ChangeState::applied || state == ChangeState::kept;
    if (decision.act != Decision::Act::reassert || !is_written) return;
    if (!changes.put_back) changes.put_back = new_total(chosen_);
    ++changes.put_back->value;
}

} // namespace bpftune::views

// SPDX-License-Identifier: Apache-2.0
// What Metrics knows, as families of the Prometheus client library.
#include <algorithm>
#include <iterator>
#include <utility>

#include <prometheus/text_serializer.h>

#include "tunables/catalog.hpp"
#include "views/metrics.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;
using signals::Aggregate;
using signals::Kind;
using signals::Signal;
using Labels = std::vector<ClientMetric::Label>;

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

// The others follow one of these.
bool begins_with(ChangeState state) {
    return state == ChangeState::recommended || state == ChangeState::advice || state == ChangeState::applied ||
           state == ChangeState::failed;
}

std::size_t series_in(const std::vector<MetricFamily>& families) {
    std::size_t series = 0;
    for (const MetricFamily& family : families) series += family.metric.size();
    return series;
}

} // namespace

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
            if (counts.any || begins_with(state))
                changes.metric.push_back(sample(
                    Counter,
                    {{"tunable", std::string(tunables::row(tunable).name)}, {"state", std::string(to_string(state))}},
                    static_cast<double>(counts.reached[static_cast<std::size_t>(state)])));
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

std::vector<MetricFamily> Metrics::series_families(std::size_t others) const {
    using enum MetricType;
    MetricFamily used{"bpftune_metrics_series", "Series that this page has.", Gauge, {}};
    MetricFamily limit{"bpftune_metrics_series_limit", "Series that it may have (metrics.maxSeries).", Gauge, {}};
    MetricFamily pods{"bpftune_metrics_folded_pods",
                      "Pods without series of their own, for want of room: summed up under pod=\"other\".",
                      Gauge,
                      {}};
    limit.metric.push_back(sample(Gauge, {}, static_cast<double>(most_series_)));
    const auto folded = std::ranges::count_if(pods_, [](const auto& entry) { return !entry.second.has_own; });
    pods.metric.push_back(sample(Gauge, {}, static_cast<double>(folded)));
    used.metric.push_back(sample(Gauge, {}, static_cast<double>(others + 3)));
    return {std::move(used), std::move(limit), std::move(pods)};
}

std::string Metrics::text() const {
    std::vector<MetricFamily> families = signal_families();
    std::ranges::move(service_families(), std::back_inserter(families));
    std::ranges::move(health_families(), std::back_inserter(families));
    std::ranges::move(series_families(series_in(families)), std::back_inserter(families));
    return prometheus::TextSerializer().Serialize(families);
}

std::size_t Metrics::series_of_service() const {
    return series_in(service_families()) + series_in(health_families()) + series_in(series_families(0));
}

} // namespace bpftune::views

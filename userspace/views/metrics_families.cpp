// SPDX-License-Identifier: Apache-2.0
// What Metrics knows, as families of the Prometheus client library.
#include <algorithm>
#include <array>
#include <chrono>
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

MetricFamily gauge(std::string name, std::string help, double value) {
    MetricFamily family{std::move(name), std::move(help), MetricType::Gauge, {}};
    family.metric.push_back(sample(MetricType::Gauge, {}, value));
    return family;
}

double seconds_of(WallTime time) { return std::chrono::duration<double>(time.time_since_epoch()).count(); }

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
            if (signal.metric.empty()) continue;
            const std::size_t place = tables_[table].layout.places[i];
            const MetricType type = signal.kind == Kind::counter ? MetricType::Counter : MetricType::Gauge;
            const auto number_in = [&](const Series& series) -> std::optional<double> {
                if (signal.kind != Kind::counter) return series.gauges[place];
                const auto& total = series.totals[place];
                return total ? std::optional(static_cast<double>(total->shown())) : std::nullopt;
            };
            MetricFamily family{std::string(signal.metric), help_of(signal), type, {}};
            for (const auto& [labels, series] : tables_[table].by_labels)
                if (const auto number = number_in(series)) family.metric.push_back(sample(type, labels, *number));
            if (!family.metric.empty()) families.push_back(std::move(family));
        }
    }
    return families;
}

std::vector<MetricFamily> Metrics::health_families() const {
    MetricFamily policy{"bpftune_policy_info",
                        "The policy in force, and the hash that `policy show` prints of it.",
                        MetricType::Gauge,
                        {}};
    policy.metric.push_back(
        sample(MetricType::Gauge, {{"name", terminal_safe(health_.policy_name)}, {"hash", health_.policy_hash}}, 1));
    std::vector<MetricFamily> families{
        std::move(policy),
        gauge("bpftune_policy_last_reload_successful",
              "1: the last policy that was to be loaded was. 0: it was refused, the one before it stays.",
              health_.policy_loaded ? 1 : 0),
        gauge("bpftune_policy_last_reload_success_timestamp_seconds", "When the policy in force was loaded.",
              seconds_of(health_.policy_loaded_at)),
        gauge("bpftune_journal_writable", "0: no change can be recorded in the journal, so none is made.",
              health_.journal_writable ? 1 : 0),
        gauge("bpftune_memory_charged_bytes",
              "Memory that all raises in force are charged with, by the use they expect.",
              static_cast<double>(health_.memory_charged_bytes)),
        gauge("bpftune_memory_budget_bytes", "Memory that they may take together (memoryBudget).",
              static_cast<double>(health_.memory_budget_bytes)),
        held_family()};
    if (!expected_.empty()) families.push_back(expected_family());
    return families;
}

// As the other states of its changes: of those that were changed.
MetricFamily Metrics::held_family() const {
    MetricFamily held{"bpftune_held_values", "Values in force that the service has set.", MetricType::Gauge, {}};
    for (const auto& [tunable, changes] : changes_) {
        const auto found = health_.held.find(tunable);
        const std::size_t count = found == health_.held.end() ? 0 : found->second;
        held.metric.push_back(sample(MetricType::Gauge, {{"tunable", std::string(tunables::row(tunable).name)}},
                                     static_cast<double>(count)));
    }
    return held;
}

// Names and help as other clients of Prometheus have them.
std::vector<MetricFamily> Metrics::process_families() const {
    const ProcessUse& use = health_.process;
    MetricFamily cpu{
        "process_cpu_seconds_total", "Total user and system CPU time spent in seconds.", MetricType::Counter, {}};
    cpu.metric.push_back(sample(MetricType::Counter, {}, use.cpu_seconds));
    std::vector<MetricFamily> families{std::move(cpu)};
    const auto add = [&](std::string name, std::string help, const auto& number) {
        if (number) families.push_back(gauge(std::move(name), std::move(help), static_cast<double>(*number)));
    };
    add("process_resident_memory_bytes", "Resident memory size in bytes.", use.resident_bytes);
    add("process_virtual_memory_bytes", "Virtual memory size in bytes.", use.virtual_bytes);
    add("process_open_fds", "Number of open file descriptors.", use.open_fds);
    add("process_max_fds", "Maximum number of open file descriptors.", use.max_fds);
    const auto started = use.started ? std::optional(seconds_of(*use.started)) : std::nullopt;
    add("process_start_time_seconds", "Start time of the process since unix epoch in seconds.", started);
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
    MetricFamily put_back{
        "bpftune_values_put_back_total", "Values that were set again, over what someone else had set.", Counter, {}};
    for (const auto& [tunable, counted] : changes_) {
        const std::string name(tunables::row(tunable).name);
        for (const auto& [state, total] : counted.reached)
            changes.metric.push_back(sample(Counter, {{"tunable", name}, {"state", std::string(to_string(state))}},
                                            static_cast<double>(total.shown())));
        if (counted.put_back)
            put_back.metric.push_back(
                sample(Counter, {{"tunable", name}}, static_cast<double>(counted.put_back->shown())));
    }
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
    return {std::move(build),    std::move(mode),    std::move(sources), std::move(lost),
            std::move(withheld), std::move(changes), std::move(put_back)};
}

std::vector<MetricFamily> Metrics::series_families(std::size_t others) const {
    const auto folded = std::ranges::count_if(pods_, [](const auto& entry) { return !entry.second.has_own; });
    const auto losing =
        std::ranges::count_if(pods_, [](const auto& entry) { return !entry.second.has_own && entry.second.lost >= 1; });
    return {gauge("bpftune_metrics_series", "Series that this page has.", static_cast<double>(others + 4)),
            gauge("bpftune_metrics_series_limit", "Series that it may have (metrics.maxSeries).",
                  static_cast<double>(most_series_)),
            gauge("bpftune_metrics_folded_pods",
                  "Pods without series of their own, for want of room: summed up under pod=\"other\".",
                  static_cast<double>(folded)),
            gauge("bpftune_metrics_folded_losing_pods",
                  "Of these, pods that lose packets or connections, or did within the last hours.",
                  static_cast<double>(losing))};
}

std::string Metrics::text() const {
    std::vector<MetricFamily> families = signal_families();
    std::ranges::move(service_families(), std::back_inserter(families));
    std::ranges::move(health_families(), std::back_inserter(families));
    std::ranges::move(process_families(), std::back_inserter(families));
    std::ranges::move(series_families(series_in(families)), std::back_inserter(families));
    return prometheus::TextSerializer().Serialize(families);
}

std::size_t Metrics::series_of_service() const {
    return series_in(service_families()) + series_in(health_families()) + series_in(process_families()) +
           series_in(series_families(0));
}

} // namespace bpftune::views

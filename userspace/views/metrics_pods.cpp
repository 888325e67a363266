// SPDX-License-Identifier: Apache-2.0
// Which pods have series of their own, and the series of the others.
#include <algorithm>
#include <cmath>
#include <utility>

#include "views/metrics.hpp"
#include "views/pod_choice.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

using signals::Signal;
using signals::Table;

// What was lost so long ago counts half.
constexpr auto half_life = std::chrono::hours(1);
// Names of pods have no more; those that a runtime makes up may.
constexpr std::size_t longest_label = 253;

constexpr std::string_view others = "other";

std::size_t metrics_of(const Table& table) {
    return static_cast<std::size_t>(
        std::ranges::count_if(table.signals, [](const Signal& signal) { return !signal.metric.empty(); }));
}

bool is_of_pods(const Table& table) { return table.labels == signals::Labels::pod; }

// Series that a pod may have, of one container.
std::size_t most_of_pod() {
    std::size_t most = 0;
    for (const Table& table : signals::catalog())
        if (is_of_pods(table)) most += static_cast<std::size_t>(std::ranges::count_if(table.signals, &Signal::by_pod));
    return most;
}

std::string label_text(std::string_view text) {
    std::string label = terminal_safe(text);
    if (label.size() <= longest_label) return label;
    std::size_t end = longest_label;
    while (end > 0 && (static_cast<unsigned char>(label[end]) & 0xC0) == 0x80) --end; // a code point stays whole
    label.resize(end);
    return label;
}

} // namespace

Metrics::Labels Metrics::labels_of_pod(std::string_view ns, std::string_view name, std::string_view container) {
    return {{"namespace", std::string(ns)}, {"pod", std::string(name)}, {"container", std::string(container)}};
}

Metrics::Target Metrics::target_of_pod(std::size_t place, const Pod& pod, MonoTime now) {
    auto& by_labels = tables_[place].by_labels;
    PodName name{label_text(pod.ns), label_text(pod.name)};
    const std::string container = label_text(pod.container);
    if (name.first.empty() && (name.second.empty() || name.second == others)) { // none that could end
        Series& series = by_labels[labels_of_pod("", name.second, "")];
        return {.series = &series, .shared = &series};
    }
    const auto [found, is_new] = pods_.try_emplace(std::move(name));
    PodState& state = found->second;
    if (is_new && left_ >= most_of_pod()) {
        state.has_own = true;
        left_ -= most_of_pod();
    }
    state.seen = now;
    Series& shared = of_others(place);
    Series& series =
        state.has_own ? by_labels[labels_of_pod(found->first.first, found->first.second, container)] : shared;
    PodState::Had& had = state.had[{place, container}];
    had.seen = now;
    return {.series = &series, .shared = &shared, .pod = &state, .had = &had.signals};
}

Metrics::Series& Metrics::of_others(std::size_t place) {
    Series& series = tables_[place].by_labels[labels_of_pod("", others, "")];
    series.make_room(tables_[place].layout);
    return series;
}

std::size_t Metrics::PodState::series() const {
    std::size_t count = 0;
    for (const auto& [place, each] : had) count += each.signals.count();
    return count;
}

void Metrics::limit_series(std::size_t most) {
    const std::size_t used = most_series_ - left_;
    most_series_ = most;
    left_ = most - std::min(most, used);
}

void Metrics::choose(MonoTime now) {
    forget_pods(now);
    const double kept = pods_.empty() ? 1 : std::exp2(-std::chrono::duration<double>(now - chosen_) / half_life);
    chosen_ = now;
    std::vector<PodCandidate> candidates;
    for (auto& [name, pod] : pods_) {
        std::erase_if(pod.had, [&](const auto& had) { return now - had.second.seen > series_lifetime; });
        pod.lost *= kept;
        pod.fullest *= kept;
        candidates.push_back({.ns = name.first,
                              .name = name.second,
                              .gone = now - pod.seen > until_scraped,
                              .lost = pod.lost,
                              .fullest = pod.fullest,
                              .series = pod.series(),
                              .has_own = pod.has_own});
    }
    left_ = most_series_ - std::min(series_without_pods(), most_series_);
    choose_pods(candidates, left_);
    for (const PodCandidate& chosen : candidates) {
        const auto found = pods_.find({std::string(chosen.ns), std::string(chosen.name)});
        if (chosen.has_own) left_ -= chosen.series;
        if (std::exchange(found->second.has_own, chosen.has_own) && !chosen.has_own) end_series(found->first, now);
    }
}

void Metrics::forget_pods(MonoTime now) {
    std::erase_if(pods_, [&](const auto& entry) {
        const PodState& pod = entry.second;
        return now - pod.seen > (pod.has_own ? series_lifetime : until_scraped);
    });
}

void Metrics::end_series(const PodName& name, MonoTime now) {
    for (std::size_t place = 0; place < tables_.size(); ++place) {
        if (!is_of_pods(signals::catalog()[place])) continue;
        std::vector<Series> ended;
        std::erase_if(tables_[place].by_labels, [&](auto& entry) {
            const bool ends = entry.first[0].value == name.first && entry.first[1].value == name.second;
            if (ends) ended.push_back(std::move(entry.second));
            return ends;
        });
        for (const Series& series : ended) end_series(place, series, now);
    }
}

// What it has counted since it was last scraped nobody has been shown.
void Metrics::end_series(std::size_t place, const Series& series, MonoTime now) {
    Series& rest = of_others(place);
    for (std::size_t i = 0; i < series.totals.size(); ++i) {
        if (!series.totals[i]) continue;
        std::optional<Total>& total = rest.totals[i];
        if (!total) total = new_total(now);
        total->value += series.totals[i]->value - series.totals[i]->scraped;
        total->seen = now;
    }
}

// With all that what belongs to no pod may have, and `other`: so the room for pods does not change with these.
std::size_t Metrics::series_without_pods() const {
    std::size_t series = series_of_service();
    for (std::size_t place = 0; place < tables_.size(); ++place) {
        const Table& table = signals::catalog()[place];
        series += metrics_of(table) * (is_of_pods(table) ? 2 : tables_[place].by_labels.size());
    }
    return series;
}

} // namespace bpftune::views

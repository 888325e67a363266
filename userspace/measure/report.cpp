// SPDX-License-Identifier: Apache-2.0
#include "measure/report.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <set>

#include "core/text.hpp"
#include "measure/spread.hpp"
#include "policy/document.hpp"

namespace bpftune::measure {
namespace {

using policy::Diagnostic;
using policy::Element;

constexpr std::array<Row, figures> all_rows{{
    {"seconds", "seconds", 0},
    {"connections_at_once", "connections at once, at most", 0},
    {"per_second_at_most", "connects a second, at most", 0},
    {"connects_per_second", "connects a second", 1},
    {"connects_ok", "connects", 0},
    {"connects_failed", "failed", 0},
    {"failed_refused", "  refused", 0},
    {"failed_timed_out", "  timed out", 0},
    {"failed_unanswered", "  unanswered", 0},
    {"failed_no_port", "  no port free", 0},
    {"failed_reset", "  reset", 0},
    {"failed_unreachable", "  unreachable", 0},
    {"failed_other", "  other", 0},
    {"connect_ms_p50", "connect, ms, p50", 3},
    {"connect_ms_p90", "connect, ms, p90", 3},
    {"connect_ms_p99", "connect, ms, p99", 3},
    {"connect_ms_max", "connect, ms, max", 3},
    {"round_trip_ms_p50", "round trip, ms, p50", 3},
    {"round_trip_ms_p90", "round trip, ms, p90", 3},
    {"round_trip_ms_p99", "round trip, ms, p99", 3},
    {"round_trip_ms_max", "round trip, ms, max", 3},
    {"throughput_mbit_per_second", "throughput, Mbit/s", 1},
    {"throughput_retransmits", "  retransmissions", 0},
}};

Figure figure_after(Figure first, std::size_t count) {
    return static_cast<Figure>(static_cast<std::size_t>(first) + count);
}

void set(Report& report, Figure first, const std::optional<Spread>& spread) {
    if (!spread) return;
    std::size_t i = 0;
    for (const double value : {spread->p50, spread->p90, spread->p99, spread->max})
        report[figure_after(first, i++)] = value;
}

double rounded(double value, int decimals) {
    const double scale = std::pow(10, decimals);
    return std::round(value * scale) / scale;
}

Json number(const std::optional<double>& value, int decimals) {
    if (!value) return nullptr;
    if (decimals == 0) return static_cast<std::uint64_t>(std::llround(*value));
    return rounded(*value, decimals);
}

std::string text(const std::optional<double>& value, int decimals) {
    return value ? fmt::format("{:.{}f}", *value, decimals) : "-";
}

// Causes that nobody met are left out.
bool is_shown(std::size_t figure, const Report& now, const Report& before) {
    const bool cause = figure >= static_cast<std::size_t>(Figure::failed_refused) &&
                       figure <= static_cast<std::size_t>(Figure::failed_other);
    return !cause || now.values[figure].value_or(0) > 0 || before.values[figure].value_or(0) > 0;
}

std::string headline(std::string_view word, const Report& report) {
    const std::string where = report.address == report.target ? "" : fmt::format(" ({})", report.address);
    return fmt::format("{:<7} {}{}, {}\n", word, report.target, where, report.time);
}

std::string footline(const Report& report) {
    if (report.no_throughput.empty()) return "";
    return fmt::format("no throughput: {}\n", report.no_throughput);
}

// --- Reading ---------------------------------------------------------------------------------------------------------

class Reader {
public:
    explicit Reader(std::vector<Diagnostic> problems) : problems_(std::move(problems)) {}

    Report read(const Element& root);
    [[nodiscard]] std::vector<Diagnostic> take() { return std::move(problems_); }

private:
    void problem(const Element& at, std::string message, std::string hint = "") {
        problems_.push_back({at.place.line, at.place.column, std::move(message), std::move(hint)});
    }
    void entry(const Element& key, const Element& value, Report& report);
    void take_text(const Element& value, std::string& out);
    void take_number(const Element& value, std::optional<double>& out);
    void check_schema(const Element& value);

    std::vector<Diagnostic> problems_;
};

std::string shown(std::string_view word) { return truncated(printable(word), 60); }

Report Reader::read(const Element& root) {
    Report report;
    if (root.kind != Element::Kind::map) {
        problem(root, "this is no measurement", "write one by 'measure TARGET -o json'");
        return report;
    }
    std::set<std::string_view> seen;
    for (std::size_t i = 0; i < root.keys.size() && i < root.values.size(); ++i) {
        if (!seen.insert(root.keys[i].text).second)
            problem(root.keys[i], fmt::format("'{}' is here twice", shown(root.keys[i].text)));
        else
            entry(root.keys[i], root.values[i], report);
    }
    for (const std::string_view key : {"schema", "target"})
        if (!seen.contains(key)) problem(root, fmt::format("'{}' is missing: this is no measurement", key));
    return report;
}

void Reader::entry(const Element& key, const Element& value, Report& report) {
    if (key.text == "schema") return check_schema(value);
    if (key.text == "target") return take_text(value, report.target);
    if (key.text == "address") return take_text(value, report.address);
    if (key.text == "time") return take_text(value, report.time);
    if (key.text == "no_throughput") return take_text(value, report.no_throughput);
    if (key.text == "compared_with" || key.text == "change_percent") return;
    const auto* const row = std::ranges::find(all_rows, key.text, &Row::key);
    if (row != all_rows.end())
        return take_number(value, report.values[static_cast<std::size_t>(row - all_rows.begin())]);
    problem(key, fmt::format("'{}' is not known here", shown(key.text)));
}

void Reader::check_schema(const Element& value) {
    if (value.kind != Element::Kind::scalar || value.text != std::to_string(schema))
        problem(value, "a schema that is not known here", fmt::format("this version knows {}", schema));
}

void Reader::take_text(const Element& value, std::string& out) {
    if (value.kind == Element::Kind::null) return;
    if (value.kind != Element::Kind::scalar) return problem(value, "a text is expected");
    out = truncated(printable(value.text), 300);
}

void Reader::take_number(const Element& value, std::optional<double>& out) {
    if (value.kind == Element::Kind::null) return;
    const std::string& digits = value.text;
    double number = 0;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    const bool whole =
        value.kind == Element::Kind::scalar && error == std::errc{} && end == digits.data() + digits.size();
    if (!whole || !std::isfinite(number) || number < 0 || number > 1e15)
        return problem(value, "a number is expected, from 0 to 1e15, or null");
    out = number;
}

} // namespace

std::span<const Row, figures> rows() { return all_rows; }

Report report_of(const Plan& plan, const Results& outcome, const Result<Throughput>& throughput) {
    Report report;
    const double seconds = Seconds(plan.length).count();
    report[Figure::seconds] = seconds;
    report[Figure::connections_at_once] = static_cast<double>(plan.at_once);
    report[Figure::per_second_at_most] = static_cast<double>(plan.per_second);
    report[Figure::connects_per_second] = static_cast<double>(outcome.in_length) / seconds;
    report[Figure::connects_ok] = static_cast<double>(outcome.connect_ms.size());
    report[Figure::connects_failed] = static_cast<double>(outcome.failed_count());
    for (std::size_t i = 0; i < failures; ++i)
        report[figure_after(Figure::failed_refused, i)] = static_cast<double>(outcome.failed[i]);
    set(report, Figure::connect_ms_p50, spread_of(outcome.connect_ms));
    set(report, Figure::round_trip_ms_p50, spread_of(outcome.round_trip_ms));
    if (throughput) {
        report[Figure::throughput_mbit_per_second] = throughput->bits_per_second / 1e6;
        report[Figure::throughput_retransmits] = throughput->retransmits;
    } else {
        report.no_throughput = throughput.error().message;
    }
    return report;
}

std::optional<double> change_percent(const std::optional<double>& before, const std::optional<double>& now) {
    if (!before || !now) return std::nullopt;
    if (*before == *now) return 0;
    if (*before == 0) return std::nullopt;
    return (*now - *before) / *before * 100;
}

Json document_of(const Report& report) {
    Json document{{"schema", schema}, {"target", report.target}, {"address", report.address}, {"time", report.time}};
    for (std::size_t i = 0; i < figures; ++i)
        document[std::string(all_rows[i].key)] = number(report.values[i], all_rows[i].decimals);
    document["no_throughput"] = report.no_throughput.empty() ? Json() : Json(report.no_throughput);
    return document;
}

Json document_of(const Report& now, const Report& before) {
    Json document = document_of(now);
    document["compared_with"] = document_of(before);
    Json& changes = document["change_percent"] = Json::object();
    for (std::size_t i = 0; i < figures; ++i) {
        const auto change = change_percent(before.values[i], now.values[i]);
        changes[std::string(all_rows[i].key)] = change ? Json(rounded(*change, 1)) : Json();
    }
    return document;
}

std::string table_of(const Report& report) {
    std::string out = headline("target", report);
    for (std::size_t i = 0; i < figures; ++i)
        if (is_shown(i, report, report))
            out += fmt::format("{:<30} {:>12}\n", all_rows[i].heading, text(report.values[i], all_rows[i].decimals));
    return out + footline(report);
}

std::string table_of(const Report& now, const Report& before) {
    std::string out = headline("before:", before) + headline("now:", now);
    if (before.target != now.target) out += "these are two targets\n";
    out += fmt::format("{:<30} {:>12} {:>12} {:>10}\n", "", "BEFORE", "NOW", "CHANGE");
    for (std::size_t i = 0; i < figures; ++i) {
        if (!is_shown(i, now, before)) continue;
        const auto change = change_percent(before.values[i], now.values[i]);
        out += fmt::format("{:<30} {:>12} {:>12} {:>10}\n", all_rows[i].heading,
                           text(before.values[i], all_rows[i].decimals), text(now.values[i], all_rows[i].decimals),
                           change ? fmt::format("{:+.1f} %", *change) : "-");
    }
    return out + footline(now);
}

std::expected<Report, std::vector<Diagnostic>> parse_report(std::string_view text) {
    auto document = policy::read(text);
    std::vector<Diagnostic> problems;
    Report report;
    if (document) {
        Reader reader(std::move(document->problems));
        report = reader.read(document->root);
        problems = reader.take();
    } else {
        problems = {document.error()};
    }
    if (problems.empty()) return report;
    constexpr std::size_t most = 20;
    problems.resize(std::min(problems.size(), most));
    policy::count_code_points(text, problems);
    return std::unexpected(std::move(problems));
}

} // namespace bpftune::measure

// SPDX-License-Identifier: Apache-2.0
// What was measured, as table and JSON, alone or beside an earlier one. One row for each figure: table, JSON and what
// is read of a file come from it.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "measure/connects.hpp"
#include "measure/iperf3.hpp"
#include "policy/diagnostic.hpp"

namespace bpftune::measure {

using Json = nlohmann::ordered_json;

inline constexpr int schema = 1;

enum class Figure : std::size_t {
    seconds,
    connections_at_once,
    per_second_at_most,
    connects_per_second,
    connects_ok,
    connects_failed,
    failed_refused, // in the order of Failure
    failed_timed_out,
    failed_unanswered,
    failed_no_port,
    failed_reset,
    failed_unreachable,
    failed_other,
    connect_ms_p50, // in the order of Spread
    connect_ms_p90,
    connect_ms_p99,
    connect_ms_max,
    round_trip_ms_p50,
    round_trip_ms_p90,
    round_trip_ms_p99,
    round_trip_ms_max,
    throughput_mbit_per_second,
    throughput_retransmits,
};
inline constexpr std::size_t figures = 23;

struct Row {
    std::string_view key; // in JSON
    std::string_view heading;
    int decimals;
};
std::span<const Row, figures> rows(); // by Figure

struct Report {
    std::string target; // as it was asked for, printable
    std::string address;
    std::string time;
    std::array<std::optional<double>, figures> values; // nullopt: not known
    std::string no_throughput;                         // why there is none; empty: there is, or it was not said

    std::optional<double>& operator[](Figure figure) { return values[static_cast<std::size_t>(figure)]; }
    const std::optional<double>& operator[](Figure figure) const { return values[static_cast<std::size_t>(figure)]; }
};

Report report_of(const Plan& plan, const Results& outcome, const Result<Throughput>& throughput);

// From before to now; nullopt where one is not known, or nothing was before.
std::optional<double> change_percent(const std::optional<double>& before, const std::optional<double>& now);

Json document_of(const Report& report);
Json document_of(const Report& now, const Report& before); // that of now, with `compared_with` and `change_percent`

std::string table_of(const Report& report);
std::string table_of(const Report& now, const Report& before);

// A document as above, of any bytes; or every problem with its place. What it was compared with is passed over.
std::expected<Report, std::vector<policy::Diagnostic>> parse_report(std::string_view text);

} // namespace bpftune::measure

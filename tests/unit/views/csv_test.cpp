// SPDX-License-Identifier: Apache-2.0
#include "views/csv.hpp"

#include <catch2/catch.hpp>

#include "unit/views/sample.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

using Record = std::vector<std::string>;

// RFC 4180, strictly: fails the test on what is not allowed.
std::vector<Record> parse_csv(std::string_view text) {
    std::vector<Record> records;
    Record record;
    std::string field;
    std::size_t i = 0;
    while (i < text.size()) {
        if (text[i] == '"') {
            for (++i;; ++i) {
                REQUIRE(i < text.size());
                if (text[i] == '"' && text.substr(i, 2) != "\"\"") break;
                if (text[i] == '"') ++i;
                field += text[i];
            }
            ++i;
        }
        while (i < text.size() && text[i] != ',' && text[i] != '\r') {
            REQUIRE(text[i] != '"');
            REQUIRE(text[i] != '\n');
            field += text[i++];
        }
        REQUIRE(i < text.size());
        record.push_back(std::exchange(field, {}));
        if (text[i] == ',') {
            ++i;
            continue;
        }
        REQUIRE(text.substr(i, 2) == "\r\n");
        i += 2;
        records.push_back(std::exchange(record, {}));
    }
    REQUIRE(record.empty());
    return records;
}

std::string cell(const std::vector<Record>& records, std::size_t row, std::string_view column) {
    const auto found = std::ranges::find(records[0], column);
    REQUIRE(found != records[0].end());
    return records[row][static_cast<std::size_t>(found - records[0].begin())];
}

} // namespace

TEST_CASE("CSV has one line for each row of each table, all with the same fields") {
    const Json top = top_document(sample_snapshot(), {.mode = "auto", .policy_error = {}});
    const auto records = parse_csv(csv_heading() + *top_csv(top));
    REQUIRE(records.size() == 1 + 3 + 1 + 1 + 2 + 1 + 1);
    for (const Record& record : records) CHECK(record.size() == records[0].size());
    CHECK(cell(records, 3, "time") == "2026-11-21T22:00:00.123Z");
    CHECK(cell(records, 3, "table") == "listeners");
    CHECK(cell(records, 3, "pod") == "shop/web-0/nginx");
    CHECK(cell(records, 3, "overflows_per_second") == "12.0");
    CHECK(cell(records, 3, "cpu").empty());
    CHECK(cell(records, 1, "asked").empty());
    CHECK(cell(records, 7, "processed") == "1234567");
    CHECK(cell(records, 8, "drops") == "16013");
    CHECK(cell(records, 9, "close_wait_command") == "nginx");
}

TEST_CASE("a CSV line shows as it is read") {
    Snapshot snapshot;
    snapshot.time.wall = sample_time();
    snapshot.sources = sources_of(Probe::softirq, Rung::procfs);
    snapshot.softirq = {{.cpu = 1, .processed = 15, .backlog = {}, .backlog_limit = 1000}};
    CHECK(*top_csv(top_document(snapshot, {.mode = "auto", .policy_error = {}})) ==
          "2026-11-21T22:00:00.123Z,softirq,,,,,,,,,,,,,,,,,,,,,,,,,,,0,,,,,,,,,,,,,,,,,,,,,1,15,0,1000,,0.0,,0,,,,,,,"
          ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,"
          ",,,,,,,,\r\n");
}

TEST_CASE("CSV of any bytes is well formed and safe to show") {
    for (const std::string& name : hostile_names()) {
        Snapshot snapshot = sample_snapshot();
        snapshot.listeners = {sample_listener()};
        snapshot.listeners[0].command = name;
        const auto records =
            parse_csv(csv_heading() + *top_csv(top_document(snapshot, {.mode = "a", .policy_error = {}})));
        CHECK(cell(records, 1, "command") == terminal_safe(name));
    }
}

TEST_CASE("CSV of foreign JSON leaves out what it can't use") {
    CHECK_FALSE(top_csv(Json::array()));
    CHECK(top_csv(Json::parse(R"({"listeners":7,"softirq":{}})"))->empty());
    const auto records = parse_csv(csv_heading() + *top_csv(Json::parse(R"({"softirq":[3,{"cpu":[1],"new":2}]})")));
    REQUIRE(records.size() == 2);
    CHECK(cell(records, 1, "cpu").empty());
}

} // namespace bpftune::views

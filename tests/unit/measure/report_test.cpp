// SPDX-License-Identifier: Apache-2.0
#include "measure/report.hpp"

#include <random>

#include <catch2/catch.hpp>

#include "policy/parse.hpp"

using namespace bpftune;
using namespace bpftune::measure;

namespace {

Report sample() {
    Results outcome;
    outcome.connect_ms = {0.25, 0.5, 1.0, 1003.1234};
    outcome.round_trip_ms = {0.2, 0.4};
    outcome.in_length = 3;
    outcome.failed[static_cast<std::size_t>(Failure::timed_out)] = 2;
    Report report = report_of({.at_once = 10, .per_second = 1000}, outcome, Throughput{941.5e6, 7});
    report.target = "shop.example:80";
    report.address = "192.0.2.1:80";
    report.time = "2026-11-29T01:00:00.000Z";
    return report;
}

std::string problems_of(std::string_view text) {
    const auto parsed = parse_report(text);
    return parsed ? "" : policy::render("m.json", text, parsed.error());
}

} // namespace

TEST_CASE("a measurement's JSON has each figure under a name with its unit, and null where it is not known") {
    const Json document = document_of(sample());
    CHECK(document["schema"] == 1);
    CHECK(document["seconds"] == 5);
    CHECK(document["connects_per_second"] == 0.6);
    CHECK(document["connects_ok"] == 4);
    CHECK(document["connects_failed"] == 2);
    CHECK(document["failed_timed_out"] == 2);
    CHECK(document["failed_refused"] == 0);
    CHECK(document["connect_ms_p50"] == 0.5);
    CHECK(document["connect_ms_max"] == 1003.123);
    CHECK(document["round_trip_ms_p99"] == 0.4);
    CHECK(document["throughput_mbit_per_second"] == 941.5);
    CHECK(document["no_throughput"].is_null());

    const Json nothing = document_of(report_of({}, {}, failure("iperf3 is not installed")));
    CHECK(nothing["connect_ms_p50"].is_null());
    CHECK(nothing["throughput_mbit_per_second"].is_null());
    CHECK(nothing["no_throughput"] == "iperf3 is not installed");
}

TEST_CASE("a measurement that was written is read again as it was") {
    for (const Json& document : {document_of(sample()), document_of(sample(), sample())}) {
        const std::string text = document.dump();
        INFO(text);
        CHECK(problems_of(text).empty());
        const auto read = parse_report(text);
        REQUIRE(read);
        CHECK(document_of(*read) == document_of(sample()));
    }
    CHECK(parse_report(document_of(sample()).dump(4)));
    CHECK(parse_report(document_of(report_of({}, {}, failure("none: \"x\" \\x1b"))).dump()));
}

TEST_CASE("a change is said in percent of what was before") {
    CHECK(change_percent(200, 150) == -25);
    CHECK(change_percent(4, 5) == 25);
    CHECK(change_percent(0, 0) == 0);
    CHECK(!change_percent(0, 3));
    CHECK(!change_percent(std::nullopt, 3));
    CHECK(!change_percent(3, std::nullopt));
}

TEST_CASE("two measurements stand side by side, in the table and in JSON") {
    Report now = sample();
    now[Figure::connect_ms_p50] = 0.25;
    now[Figure::failed_reset] = 1;
    const std::string table = table_of(now, sample());
    INFO(table);
    CHECK(table.contains("connect, ms, p50                      0.500        0.250    -50.0 %\n"));
    CHECK(table.contains(fmt::format("{:<30} {:>12} {:>12} {:>10}\n", "  reset", 0, 1, "-")));
    CHECK(!table.contains("refused"));
    CHECK(!table.contains("two targets"));
    const Json document = document_of(now, sample());
    CHECK(document["connect_ms_p50"] == 0.25);
    CHECK(document["compared_with"]["connect_ms_p50"] == 0.5);
    CHECK(document["change_percent"]["connect_ms_p50"] == -50.0);
    CHECK(document["change_percent"]["failed_reset"].is_null());
    now.target = "other.example:80";
    CHECK(table_of(now, sample()).contains("two targets"));
}

TEST_CASE("a table says why there is no throughput") {
    const std::string table = table_of(report_of({}, {}, failure("iperf3 is not installed")));
    INFO(table);
    CHECK(table.contains("throughput, Mbit/s                        -\n"));
    CHECK(table.ends_with("no throughput: iperf3 is not installed\n"));
}

TEST_CASE("what is wrong with an earlier measurement is said with its place") {
    CHECK(problems_of(R"({"schema":1,"target":"a","connects_ok":"many"})") ==
          "m.json:1:40: error: a number is expected, from 0 to 1e15, or null\n"
          "{\"schema\":1,\"target\":\"a\",\"connects_ok\":\"many\"}\n"
          "                                       ^\n");
    CHECK(problems_of("[]").starts_with("m.json:1:1: error: this is no measurement\n"));
    CHECK(problems_of(R"({"target":"a"})").starts_with("m.json:1:1: error: 'schema' is missing"));
    CHECK(problems_of(R"({"schema":2,"target":"a"})")
              .starts_with("m.json:1:11: error: a schema that is not known here\n"));
    CHECK(problems_of(R"({"schema":1,"target":"a","target":"b"})")
              .starts_with("m.json:1:26: error: 'target' is here twice"));
    CHECK(problems_of("{\"schema\":1,\n\"target\":{},\n\"connect_s\":1}") ==
          "m.json:2:10: error: a text is expected\n\"target\":{},\n         ^\n"
          "m.json:3:1: error: 'connect_s' is not known here\n\"connect_s\":1}\n^\n");
    for (const char* number : {"-1", "nan", "inf", "1e300", "0x10", "1 2", "true"})
        CHECK(problems_of(fmt::format("{{\"schema\":1,\"target\":\"a\",\"seconds\":{}}}", number))
                  .starts_with("m.json:1:36: error: a number is expected"));
    CHECK(problems_of("{\"schema\":1").contains("m.json:1:1: error: this '{' is not closed"));
    CHECK(problems_of("{\"schema\":\x01}").contains("m.json:1:11: error: control character \\x01"));
    CHECK(problems_of("").contains("m.json:1:1: error: this is no measurement"));
}

TEST_CASE("whatever the bytes of an earlier measurement, they are read or refused") {
    std::mt19937 random(5);
    const std::string good = document_of(sample(), sample()).dump();
    for (int i = 0; i < 3000; ++i) {
        std::string text = good;
        for (unsigned edits = random() % 4 + 1; edits > 0; --edits) {
            const std::size_t at = random() % text.size();
            switch (random() % 3) {
            case 0: text[at] = static_cast<char>(random()); break;
            case 1: text.erase(at, random() % 20 + 1); break;
            default: text.insert(at, 1, "{}[],:\"\\0e"[random() % 10]);
            }
            if (text.empty()) text = " ";
        }
        const auto parsed = parse_report(text);
        const std::string shown = parsed ? table_of(*parsed, sample()) : policy::render("m", text, parsed.error());
        REQUIRE(std::ranges::all_of(shown, [](char c) { return c == '\n' || static_cast<unsigned char>(c) >= 0x20; }));
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "views/history.hpp"

#include <cstdlib>

#include <catch2/catch.hpp>

#include "core/text.hpp"
#include "unit/views/sample.hpp"
#include "views/restored.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

std::vector<Change> two_changes() {
    Change second = sample_change();
    second.time += std::chrono::hours(3);
    second.tunable = TunableId::conntrack_buckets;
    second.scope = {.netns = {.cookie = 1, .inode = 4026531833}, .listener = {}, .pod = {}};
    second.from = "65536";
    second.to = "262144";
    second.state = ChangeState::rolled_back;
    second.reaction = std::chrono::microseconds(12'400);
    second.why = "the table would have been full in 4 s at 950 more entries each second";
    return {sample_change(), second};
}

std::size_t longest_line(std::string_view text) {
    std::size_t longest = 0;
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        longest = std::max(longest, display_width(text.substr(0, end)));
        text.remove_prefix(end + 1);
    }
    return longest;
}

} // namespace

TEST_CASE("history is read as what, and below it for whom and why") {
    CHECK(history_table(changes_document(two_changes()), 80) ==
          R"(2026-11-21 +0000
22:00:01  net.core.somaxconn  128 → 1024  kept
          shop/web-0, 0.0.0.0:8080, 310 µs after the event: accept queue of
          0.0.0.0:8080 (nginx) reached 97 of 128 while it was being accepted
          from
2026-11-22 +0000
01:00:01  net.netfilter.nf_conntrack_buckets  65536 → 262144  rolled back
          netns 4026531833, 12.4 ms after the event: the table would have been
          full in 4 s at 950 more entries each second
)");
    CHECK(history_table(Json::array(), 80) == "no changes\n");
}

TEST_CASE("people read times in their own zone, each day's beside it") {
    REQUIRE(::setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1) == 0);
    ::tzset();
    const std::string text = history_table(changes_document(two_changes()), 200);
    const std::string summer = local_text("2026-07-01T22:00:01.004Z");
    REQUIRE(::setenv("TZ", "UTC", 1) == 0);
    ::tzset();
    CHECK(text.starts_with("2026-11-21 +0100\n23:00:01  net.core.somaxconn"));
    CHECK(text.find("\n2026-11-22 +0100\n02:00:01  net.netfilter") != std::string::npos);
    CHECK(summer == "2026-07-02 00:00:01 +0200");
    CHECK(local_text("yesterday") == "yesterday");
}

TEST_CASE("no line of history is longer than the screen, and hostile text stays text") {
    for (const std::string& name : hostile_names()) {
        Change change = sample_change();
        change.why = name + name + name;
        change.scope.pod = Pod{name, name, name, ""};
        change.to = name;
        for (const std::size_t width : {1U, 20U, 80U, 200U}) {
            const std::string text = history_table(changes_document(std::span(&change, 1)), width);
            CHECK(longest_line(text) <= width);
            CHECK(std::ranges::none_of(text, [](char c) { return c != '\n' && (c == 0x7f || (c >= 0 && c < ' ')); }));
        }
    }
}

TEST_CASE("advice has no values") {
    CHECK(history_table(Json::parse(R"([{"tunable":"net.core.somaxconn","state":"advice","from":null,"to":null,
                                         "time":"2026-11-22T01:00:01.004Z","why":"it is too slow",
                                         "scope":{"netns":7}}])"),
                        80) == R"(2026-11-22 +0000
01:00:01  net.core.somaxconn  advice
          netns 7: it is too slow
)");
}

TEST_CASE("a change of another version shows what is there") {
    CHECK(history_table(Json::parse(R"([{"tunable":"vm.new","state":7},3])"), 80) ==
          "-  vm.new  7\n          -: -\n-  -  -\n          -: -\n");
}

TEST_CASE("restore says what became of each value") {
    const std::vector<RestoreLine> lines{
        {"net.core.somaxconn", "netns 4026532247", "128", "1024", "128", "", "restored", ""},
        {"listener.backlog", "netns 4026532247, 0.0.0.0:8080", "128", "", "", "", "gone", ""},
        {"listener.backlog", "netns 4026532247, 0.0.0.0:80", "128", "4096", "2048", "800", "lowered", "800 wait"},
        {"net.netfilter.nf_conntrack_max", "node", "65536", "131072", "", "", "would_restore",
         "set by\x1b[2J someone else"}};
    CHECK(restored_table(lines, 90) ==
          R"(RESULT         TUNABLE                          FOUND  IN USE    TO  ORIGINAL
restored       net.core.somaxconn                1024       -   128       128
    netns 4026532247
gone           listener.backlog                     -       -     -       128
    netns 4026532247, 0.0.0.0:8080
lowered        listener.backlog                  4096     800  2048       128
    netns 4026532247, 0.0.0.0:80: 800 wait
would restore  net.netfilter.nf_conntrack_max  131072       -     -     65536
    node: set by\x1b[2J someone else
4 values: 1 gone, 1 lowered, 1 restored, 1 would restore
)");
    CHECK(restored_table({}, 80) == "nothing to restore\n");
    CHECK(to_text(restored_document(std::span(lines).subspan(1, 1))) ==
          R"([{"tunable":"listener.backlog","object":"netns 4026532247, 0.0.0.0:8080","original":"128","found":null,)"
          R"("to":null,"in_use":null,"result":"gone","detail":null}])");
    CHECK(is_left(lines[2]));
    CHECK_FALSE(is_left(lines[0]));
}

TEST_CASE("of many values a log has those that are left, and how many there are of each result") {
    std::vector<RestoreLine> lines(40, {"listener.backlog", "netns 7", "8", "64", "8", "", "restored", ""});
    lines.push_back({"listener.backlog", "netns 8", "8", "64", "", "", "failed", "no answer"});
    lines.push_back({"listener.backlog", "netns 9", "8", "", "", "", "not_reached", ""});
    CHECK(restored_log(std::span(lines).first(2), 2) == restored_table(std::span(lines).first(2), 120));
    CHECK(restored_log(lines, 10) == R"(RESULT  TUNABLE           FOUND  IN USE  TO  ORIGINAL
failed  listener.backlog     64       -   -         8
    netns 8: no answer
42 values: 1 failed, 1 not reached, 40 restored
)");
    CHECK(restored_log(std::span(lines).first(40), 10) == "40 values: 40 restored\n");
    CHECK(is_left(lines.back()));
}

} // namespace bpftune::views

// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <string>

#include <catch2/catch.hpp>

using namespace bpftune::policy;
using namespace std::literals;

TEST_CASE("a diagnostic is shown with its place, its line, a caret and a hint") {
    const std::string text = "spec:\n  mode: atuo\n";
    CHECK(render("policy.yaml", text, {{2, 9, "unknown mode 'atuo'", "did you mean 'auto'?"}}) ==
          "policy.yaml:2:9: error: unknown mode 'atuo'\n"
          "  mode: atuo\n"
          "        ^\n"
          "  hint: did you mean 'auto'?\n");
    CHECK(render("policy.yaml", text, {{1, 1, "odd", ""}}) == "policy.yaml:1:1: error: odd\nspec:\n^\n");
    CHECK(render("policy.yaml", text, {}).empty());
}

TEST_CASE("the caret stays below its place, whatever stands before it") {
    const auto [before, width] = GENERATE(table<std::string, std::size_t>({
        {"größe", 5},    // two bytes each, one column
        {"東京", 4},     // two columns each
        {"e\u0301", 1},  // combining: no column
        {"\t", 4},       // shown as \x09
        {"\x1b[31m", 8}, // \x1b[31m
        {"\u202e", 12},  // right-to-left override: three bytes escaped
        {"\\", 2},       // \\ .
        {"\xff\xfe", 8}, // no UTF-8: one code point each
    }));
    const std::string text = before + "X\n";
    const std::size_t points = before == "größe"                                                 ? 5
                               : before == "東京" || before == "e\u0301" || before == "\xff\xfe" ? 2
                               : before == "\x1b[31m"                                            ? 5
                                                                                                 : 1;
    const std::string shown = render("f", text, {{1, points + 1, "m", ""}});
    CAPTURE(shown);
    CHECK(shown.ends_with("X\n" + std::string(width, ' ') + "^\n"));
}

TEST_CASE("a file name can't command the terminal") {
    CHECK(render("\x1b[2J\n.yaml\xff", "x", {{1, 1, "m", ""}}) == "\\x1b[2J\\x0a.yaml\\xff:1:1: error: m\nx\n^\n");
}

TEST_CASE("a place outside of the text is shown at its end") {
    CHECK(render("f", "", {{0, 0, "m", ""}}) == "f:1:1: error: m\n");
    CHECK(render("f", "ab\ncd", {{9, 9, "m", ""}}) == "f:2:9: error: m\ncd\n  ^\n");
}

TEST_CASE("of a long line the part around the place is shown") {
    const std::string shown = render("f", std::string(1000, 'a') + "X" + std::string(1000, 'b'), {{1, 1001, "m", ""}});
    CHECK(shown == "f:1:1001: error: m\n~" + std::string(60, 'a') + "X" + std::string(118, 'b') + "~\n" +
                       std::string(61, ' ') + "^\n");
}

// SPDX-License-Identifier: Apache-2.0
#include "core/text.hpp"

#include <algorithm>
#include <array>
#include <random>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace std::literals;

TEST_CASE("printable keeps text and escapes what a terminal would obey") {
    CHECK(printable("nginx: worker") == "nginx: worker");
    CHECK(printable("größe 東京 🚀") == "größe 東京 🚀");
    CHECK(printable("\x1b[31m\n\t\x7f"sv) == R"(\x1b[31m\x0a\x09\x7f)");
    CHECK(printable("a\0b"sv) == R"(a\x00b)");
    CHECK(printable(R"(C:\x1b)") == R"(C:\\x1b)");
    CHECK(printable("\u0085\u009b") == R"(\xc2\x85\xc2\x9b)");
    CHECK(printable("\u202e\u2066\u2028\ufeff\u200b") ==
          R"(\xe2\x80\xae\xe2\x81\xa6\xe2\x80\xa8\xef\xbb\xbf\xe2\x80\x8b)");
    CHECK(printable("").empty());
}

TEST_CASE("printable escapes exactly the bytes that are no UTF-8") {
    const auto [bytes, shown] = GENERATE(table<std::string, std::string>({
        {"\xff", R"(\xff)"},                                 // no lead byte
        {"a\x80z", R"(a\x80z)"},                             // continuation alone
        {"\xc3", R"(\xc3)"},                                 // cut at the end
        {"\xe6\x9d", R"(\xe6\x9d)"},                         // cut at the end
        {"\xc3(", R"(\xc3()"},                               // no continuation
        {"\xc0\xaf", R"(\xc0\xaf)"},                         // overlong '/'
        {"\xe0\x9f\xbf", R"(\xe0\x9f\xbf)"},                 // overlong, 3 bytes
        {"\xe0\xa0\x80", "\xe0\xa0\x80"},                    // U+0800, the first of 3 bytes
        {"\xed\x9f\xbf", "\xed\x9f\xbf"},                    // U+D7FF, before the surrogates
        {"\xed\xa0\x80", R"(\xed\xa0\x80)"},                 // U+D800
        {"\xee\x80\x80", "\xee\x80\x80"},                    // U+E000, after them
        {"\xf0\x8f\xbf\xbf", R"(\xf0\x8f\xbf\xbf)"},         // overlong, 4 bytes
        {"\xf0\x90\x80\x80", "\xf0\x90\x80\x80"},            // U+10000
        {"\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf"},            // U+10FFFF
        {"\xf4\x90\x80\x80", R"(\xf4\x90\x80\x80)"},         // past it
        {"\xf8\x88\x80\x80\x80", R"(\xf8\x88\x80\x80\x80)"}, // 5 bytes
    }));
    CHECK(printable(bytes) == shown);
}

TEST_CASE("printable gives clean text for any bytes") {
    std::mt19937 random(1); // the same bytes each time
    for (int round = 0; round < 2000; ++round) {
        std::string bytes(random() % 40, '\0');
        for (char& c : bytes) c = static_cast<char>(random());
        const std::string shown = printable(bytes);
        const auto backslashes = std::ranges::count(bytes, '\\');
        REQUIRE(is_printable(shown));
        REQUIRE(is_printable(bytes) == (shown.size() == bytes.size() + static_cast<std::size_t>(backslashes)));
        for (std::string_view rest = shown; !rest.empty();) {
            const CodePoint point = first_code_point(rest);
            REQUIRE(point.length > 0);
            REQUIRE(point.value >= 0x20);
            rest.remove_prefix(point.length);
        }
    }
}

TEST_CASE("display width counts wide characters twice and combining ones not at all") {
    CHECK(display_width("") == 0);
    CHECK(display_width("policy") == 6);
    CHECK(display_width("größe") == 5);
    CHECK(display_width("東京") == 4);
    CHECK(display_width("ｆｕ") == 4);
    CHECK(display_width("🚀!") == 3);
    CHECK(display_width("e\u0301") == 1);
    CHECK(display_width("\xff\xfe") == 2);
}

TEST_CASE("truncated fits its columns and marks the cut") {
    CHECK(truncated("nginx", 5) == "nginx");
    CHECK(truncated("nginx", 4) == "ngi~");
    CHECK(truncated("nginx", 1) == "~");
    CHECK(truncated("nginx", 0).empty());
    CHECK(truncated("größe", 4) == "grö~");
    CHECK(truncated("東京都", 4) == "東~");
    CHECK(truncated("東京都", 5) == "東京~");
    CHECK(truncated("e\u0301e\u0301e", 2) == "e\u0301~");
}

TEST_CASE("nearest finds a misspelling and nothing else") {
    constexpr std::array words{"mode"sv, "onExit"sv, "memoryBudget"sv, "net.core.somaxconn"sv, "max"sv};
    CHECK(nearest("mdoe", words) == "mode");
    CHECK(nearest("MODE", words) == "mode");
    CHECK(nearest("on_exit", words) == "onExit");
    CHECK(nearest("net.core.somaxcon", words) == "net.core.somaxconn");
    CHECK(nearest("net/core/somaxconn", words) == "net.core.somaxconn");
    CHECK(nearest("mix", words) == "max");
    CHECK(nearest("min", words).empty());
    CHECK(nearest("net.core.rmem_max", words).empty());
    CHECK(nearest("", words).empty());
    CHECK(nearest(std::string(1 << 20, 'm'), words).empty());
    CHECK(nearest("mode", std::vector<std::string_view>{}).empty());
}

TEST_CASE("edit distance counts a transposition once") {
    CHECK(edit_distance("", "abc") == 3);
    CHECK(edit_distance("mode", "mode") == 0);
    CHECK(edit_distance("mode", "mdoe") == 1);
    CHECK(edit_distance("mode", "node") == 1);
    CHECK(edit_distance("mode", "moode") == 1);
    CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("to_lower leaves bytes that are no ASCII letters") { CHECK(to_lower("OnExit-Ä\xff[") == "onexit-Ä\xff["); }

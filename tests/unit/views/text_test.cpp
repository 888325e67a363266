// SPDX-License-Identifier: Apache-2.0
#include "views/text.hpp"

#include <catch2/catch.hpp>

#include "core/text.hpp"
#include "unit/views/sample.hpp"

namespace bpftune::views {

TEST_CASE("terminal_safe escapes what a terminal would obey, and once is enough") {
    CHECK(terminal_safe("\x1b[2J") == "\\x1b[2J");
    CHECK(terminal_safe("back\\slash") == "back\\slash");
    CHECK(terminal_safe("\\\x1b\\") == "\\\\x1b\\");
    CHECK(terminal_safe("\xf0\x9f\x90\x9d") == "\xf0\x9f\x90\x9d");
    for (const std::string& name : hostile_names()) {
        CHECK(terminal_safe(terminal_safe(name)) == terminal_safe(name));
        CHECK(terminal_safe(printable(name)) == printable(name));
    }
}

TEST_CASE("wrapped breaks at blanks, and inside a word only where it fits no line") {
    using Lines = std::vector<std::string>;
    CHECK(wrapped("", 10).empty());
    CHECK(wrapped("one two three", 7) == Lines{"one two", "three"});
    CHECK(wrapped("one two three", 8) == Lines{"one two", "three"});
    CHECK(wrapped("incomprehensible", 6) == Lines{"incomp", "rehens", "ible"});
    CHECK(wrapped("äöü äöü", 3) == Lines{"äöü", "äöü"});
    CHECK(wrapped("ab", 0) == Lines{"a", "b"});
}

TEST_CASE("numbers are exact up to five digits, then short") {
    CHECK(short_number(std::uint64_t{0}) == "0");
    CHECK(short_number(std::uint64_t{99999}) == "99999");
    CHECK(short_number(std::uint64_t{100000}) == "100k");
    CHECK(short_number(std::uint64_t{999499}) == "999k");
    CHECK(short_number(std::uint64_t{999500}) == "1.00M");
    CHECK(short_number(std::uint64_t{13107200}) == "13.1M");
    CHECK(short_number(UINT64_MAX) == "18.4E");
    CHECK(short_number(12.0) == "12.0");
    CHECK(short_number(-3.26) == "-3.3");
    CHECK(short_number(99.96) == "100");
    CHECK(short_number(123456.7) == "123k");
}

} // namespace bpftune::views

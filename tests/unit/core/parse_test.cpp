// SPDX-License-Identifier: Apache-2.0
#include "core/parse.hpp"

#include <limits>
#include <string>

#include <catch2/catch.hpp>

using namespace bpftune;
using namespace std::literals;

TEST_CASE("a number is decimal digits and nothing else") {
    CHECK(parse_number("0").value() == 0);
    CHECK(parse_number("18446744073709551615").value() == std::numeric_limits<std::uint64_t>::max());
    CHECK(parse_number("18446744073709551616").error().message == "'18446744073709551616' is too large");
    const std::string text =
        GENERATE(""s, " 1"s, "1 "s, "-1"s, "+1"s, "0x1"s, "1.0"s, "1e3"s, "1_000"s, "1\0"s, "18446744073709551616x"s);
    CAPTURE(text);
    CHECK_FALSE(parse_number(text));
}

TEST_CASE("a duration is a whole number and a unit") {
    CHECK(parse_duration("500ms").value() == 500ms);
    CHECK(parse_duration("10s").value() == 10s);
    CHECK(parse_duration("5m").value() == 5min);
    CHECK(parse_duration("2h").value() == 2h);
    CHECK(parse_duration("7d").value() == 168h);
    CHECK(parse_duration("87672h").value() == 87672h);
    const std::string text =
        GENERATE(""s, "s"s, "10"s, "10 s"s, " 10s"s, "1.5s"s, "-1s"s, "1S"s, "1w"s, "1us"s, "1s\0"s);
    CAPTURE(text);
    CHECK(parse_duration(text).error().message.ends_with("is no duration; write 500ms, 10s, 5m, 2h or 7d"));
}

TEST_CASE("a duration is more than zero and at most ten years") {
    const std::string text =
        GENERATE("0s"s, "0ms"s, "87673h"s, "3654d"s, "18446744073709551615ms"s, "99999999999999999999h"s);
    CHECK(parse_duration(text).error().message == "'" + text + "' is out of range; more than zero, at most ten years");
}

TEST_CASE("a duration is written in the largest unit that is exact") {
    const std::string text = GENERATE("1ms"s, "1500ms"s, "2s"s, "90s"s, "5m"s, "90m"s, "24h"s, "87672h"s);
    CHECK(duration_text(parse_duration(text).value()) == text);
    CHECK(duration_text(120s) == "2m");
}

TEST_CASE("a size is bytes or has a binary unit") {
    CHECK(parse_size("4096").value() == 4096);
    CHECK(parse_size("64KiB").value() == 65536);
    CHECK(parse_size("16MiB").value() == 16777216);
    CHECK(parse_size("2GiB").value() == 2147483648);
    CHECK(parse_size("8589934591GiB").value() == 8589934591ull << 30);
    const std::string text = GENERATE(""s, "MiB"s, "16 MiB"s, "16MB"s, "16M"s, "16mib"s, "1.5GiB"s, "-1KiB"s, "2%"s);
    CAPTURE(text);
    CHECK(parse_size(text).error().message.ends_with("is no size; write 4096, 64KiB, 16MiB or 2GiB"));
}

TEST_CASE("a size that does not fit is refused, not cut") {
    const std::string text =
        GENERATE("8589934592GiB"s, "9223372036854775808"s, "18446744073709551615KiB"s, "99999999999999999999"s);
    CHECK(parse_size(text).error().message == "'" + text + "' is too large");
}

TEST_CASE("an error shows hostile text harmlessly") {
    CHECK(parse_duration("\x1b]0;x\a"sv).error().message ==
          R"('\x1b]0;x\x07' is no duration; write 500ms, 10s, 5m, 2h or 7d)");
    CHECK(parse_number("\xff").error().message == R"('\xff' is no whole number)");
}

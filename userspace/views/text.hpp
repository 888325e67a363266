// SPDX-License-Identifier: Apache-2.0
// Text for terminals.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace bpftune::views {

// As `printable`, but leaves backslashes alone, so that text may pass more than once: for what came over a socket or
// out of a database, and may or may not have been through `printable`.
std::string terminal_safe(std::string_view text);

// `text` in lines of at most `columns`, broken at blanks, in the middle of a word only where that fits no line.
std::vector<std::string> wrapped(std::string_view text, std::size_t columns);

// Filled up with blanks to `columns`; longer text stays as it is.
std::string padded(std::string_view text, std::size_t columns, bool right_aligned = false);

// Exact below 100,000, then three digits: "99999", "131k", "1.23M".
std::string short_number(std::uint64_t number);
std::string short_number(double number); // one decimal place below 100: "12.0"

// A time of a document, which is UTC ("2026-11-21T22:00:01.004Z"), as people here read their clocks: in the time zone
// of this process (TZ, else /etc/localtime). nullopt: another form of time.
struct LocalTime {
    std::string day;   // "2026-11-21"
    std::string clock; // "23:00:01"
    std::string zone;  // "+0100"
};
std::optional<LocalTime> local_time(std::string_view time);

// "2026-11-21 23:00:01 +0100"; another form of time as it is.
std::string local_text(std::string_view time);

} // namespace bpftune::views

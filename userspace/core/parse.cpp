// SPDX-License-Identifier: Apache-2.0
#include "core/parse.hpp"

#include <charconv>
#include <limits>
#include <optional>

#include "core/text.hpp"

namespace bpftune {
namespace {

// Takes the digits at the front of `text`. Too many for 64 bits: the greatest number. No digit: nothing.
std::optional<std::uint64_t> take_digits(std::string_view& text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::invalid_argument) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return error == std::errc{} ? value : std::numeric_limits<std::uint64_t>::max();
}

} // namespace

Result<std::uint64_t> parse_number(std::string_view text) {
    std::uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error == std::errc::invalid_argument || end != text.data() + text.size())
        return failure("'{}' is no whole number", printable(text));
    if (error != std::errc{}) return failure("'{}' is too large", printable(text));
    return value;
}

Result<Nanoseconds> parse_duration(std::string_view text) {
    using namespace std::chrono;
    const std::string shown = printable(text);
    const auto number = take_digits(text);
    const auto unit = text == "ms"  ? Nanoseconds(1ms)
                      : text == "s" ? Nanoseconds(1s)
                      : text == "m" ? Nanoseconds(1min)
                      : text == "h" ? Nanoseconds(1h)
                      : text == "d" ? Nanoseconds(days(1))
                                    : Nanoseconds(0);
    if (!number || unit.count() == 0) return failure("'{}' is no duration; write 500ms, 10s, 5m, 2h or 7d", shown);
    constexpr Nanoseconds longest = hours(24 * 3653);
    if (*number == 0 || *number > static_cast<std::uint64_t>(longest / unit))
        return failure("'{}' is out of range; more than zero, at most ten years", shown);
    return unit * static_cast<std::int64_t>(*number);
}

std::string duration_text(Nanoseconds duration) {
    using namespace std::chrono;
    if (duration % 1h == 0h) return fmt::format("{}h", duration / 1h);
    if (duration % 1min == 0min) return fmt::format("{}m", duration / 1min);
    if (duration % 1s == 0s) return fmt::format("{}s", duration / 1s);
    return fmt::format("{}ms", duration / 1ms);
}

Result<std::uint64_t> parse_size(std::string_view text) {
    const std::string shown = printable(text);
    const auto number = take_digits(text);
    const int shift = text.empty() ? 0 : text == "KiB" ? 10 : text == "MiB" ? 20 : text == "GiB" ? 30 : -1;
    if (!number || shift < 0) return failure("'{}' is no size; write 4096, 64KiB, 16MiB or 2GiB", shown);
    constexpr std::uint64_t largest = std::numeric_limits<std::int64_t>::max();
    if (*number > largest >> shift) return failure("'{}' is too large", shown);
    return *number << shift;
}

} // namespace bpftune

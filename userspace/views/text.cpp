// SPDX-License-Identifier: Apache-2.0
#include "views/text.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <ctime>

#include <fmt/format.h>

#include "core/text.hpp"

namespace bpftune::views {
namespace {

// Bytes of the first `columns` code points.
std::size_t bytes_of(std::string_view text, std::size_t columns) {
    std::size_t end = 0;
    for (; columns > 0 && end < text.size(); --columns) {
        ++end;
        while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80) ++end;
    }
    return end;
}

std::string scaled(double number) {
    constexpr std::array units{"k", "M", "G", "T", "P", "E"};
    std::size_t unit = 0;
    for (number /= 1000; std::abs(number) >= 999.5 && unit + 1 < units.size(); ++unit) number /= 1000;
    const int decimals = std::abs(number) < 9.995 ? 2 : std::abs(number) < 99.95 ? 1 : 0;
    return fmt::format("{:.{}f}{}", number, decimals, units[unit]);
}

} // namespace

std::string terminal_safe(std::string_view text) {
    std::string out;
    while (true) {
        const std::size_t backslash = std::min(text.find('\\'), text.size());
        out += printable(text.substr(0, backslash));
        if (backslash == text.size()) return out;
        out += '\\';
        text.remove_prefix(backslash + 1);
    }
}

std::vector<std::string> wrapped(std::string_view text, std::size_t columns) {
    columns = std::max<std::size_t>(columns, 1);
    std::vector<std::string> lines;
    while (display_width(text) > columns) {
        const std::size_t fits = bytes_of(text, columns);
        const std::size_t blank = text.rfind(' ', fits);
        const bool at_blank = blank != std::string_view::npos && blank > 0;
        lines.emplace_back(text.substr(0, at_blank ? blank : fits));
        text.remove_prefix(at_blank ? blank + 1 : fits);
    }
    if (!text.empty()) lines.emplace_back(text);
    return lines;
}

std::string padded(std::string_view text, std::size_t columns, bool right_aligned) {
    const std::size_t used = display_width(text);
    const std::string blanks(columns > used ? columns - used : 0, ' ');
    return right_aligned ? blanks + std::string(text) : std::string(text) + blanks;
}

std::string short_number(std::uint64_t number) {
    return number < 100'000 ? std::to_string(number) : scaled(static_cast<double>(number));
}

std::string short_number(double number) {
    if (std::abs(number) < 99.95) return fmt::format("{:.1f}", number);
    if (std::abs(number) < 99'999.5) return fmt::format("{:.0f}", number);
    return scaled(number);
}

std::optional<LocalTime> local_time(std::string_view time) {
    std::tm utc{};
    const std::string text(time);
    const char* end = ::strptime(text.c_str(), "%Y-%m-%dT%H:%M:%S", &utc);
    if (end == nullptr || *end != '.' || !text.ends_with('Z')) return std::nullopt;
    const std::time_t seconds = ::timegm(&utc);
    std::tm local{};
    if (::localtime_r(&seconds, &local) == nullptr) return std::nullopt;
    const auto formatted = [&](const char* format) {
        std::array<char, 32> buffer{};
        return std::string(buffer.data(), std::strftime(buffer.data(), buffer.size(), format, &local));
    };
    return LocalTime{.day = formatted("%Y-%m-%d"), .clock = formatted("%H:%M:%S"), .zone = formatted("%z")};
}

std::string local_text(std::string_view time) {
    const auto local = local_time(time);
    return local ? fmt::format("{} {} {}", local->day, local->clock, local->zone) : std::string(time);
}

} // namespace bpftune::views

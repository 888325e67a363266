// SPDX-License-Identifier: Apache-2.0
#include "core/text.hpp"

#include <algorithm>
#include <array>
#include <iterator>
#include <span>
#include <vector>

#include <fmt/format.h>

namespace bpftune {
namespace {

// What a terminal or a log viewer might obey instead of showing.
bool is_control(char32_t value) {
    return value < 0x20 || (value >= 0x7F && value < 0xA0) || value == 0x61C || (value >= 0x200B && value <= 0x200F) ||
           (value >= 0x2028 && value <= 0x202E) || (value >= 0x2060 && value <= 0x2069) || value == 0xFEFF ||
           (value >= 0xFFF9 && value <= 0xFFFB) || (value >= 0xE0000 && value <= 0xE007F);
}

bool is_kept(CodePoint point) { return point.length > 0 && !is_control(point.value); }

struct Block {
    char32_t first;
    char32_t last;
};

bool within(char32_t value, std::span<const Block> blocks) {
    return std::ranges::any_of(blocks, [=](const Block& b) { return b.first <= value && value <= b.last; });
}

// East_Asian_Width W and F of Unicode's EastAsianWidth.txt, by block, and the emoji that terminals draw wide.
constexpr std::array wide{
    Block{0x1100, 0x115F},   Block{0x2E80, 0x303E},   Block{0x3041, 0xA4CF},   Block{0xA960, 0xA97F},
    Block{0xAC00, 0xD7A3},   Block{0xF900, 0xFAFF},   Block{0xFE30, 0xFE6F},   Block{0xFF01, 0xFF60},
    Block{0xFFE0, 0xFFE6},   Block{0x1F300, 0x1F64F}, Block{0x1F680, 0x1F6FF}, Block{0x1F900, 0x1F9FF},
    Block{0x20000, 0x3FFFD},
};

// Combining marks for all scripts, and variation selectors.
constexpr std::array combining{Block{0x300, 0x36F}, Block{0x1AB0, 0x1AFF}, Block{0x1DC0, 0x1DFF}, Block{0x20D0, 0x20FF},
                               Block{0xFE00, 0xFE0F}};

std::size_t width(char32_t value) {
    if (value < 0x300) return 1;
    return within(value, wide) ? 2 : within(value, combining) ? 0 : 1;
}

} // namespace

// RFC 3629: no overlong forms, no surrogates, nothing past U+10FFFF.
CodePoint first_code_point(std::string_view text) {
    if (text.empty()) return {};
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
    const unsigned char lead = byte(0);
    if (lead < 0x80) return {lead, 1};
    const std::size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
    if (lead < 0xC2 || lead > 0xF4 || text.size() < length) return {};
    char32_t value = lead & (0x7Fu >> length);
    for (std::size_t i = 1; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return {};
        value = value << 6 | (byte(i) & 0x3Fu);
    }
    const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
    const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
    if (overlong || surrogate || value > 0x10FFFF) return {};
    return {value, length};
}

std::string printable(std::string_view bytes) {
    std::string out;
    out.reserve(bytes.size());
    while (!bytes.empty()) {
        const CodePoint point = first_code_point(bytes);
        const std::size_t length = std::max<std::size_t>(point.length, 1);
        const std::string_view raw = bytes.substr(0, length);
        if (!is_kept(point)) {
            for (const char c : raw)
                fmt::format_to(std::back_inserter(out), "\\x{:02x}", static_cast<unsigned char>(c));
        } else if (raw == "\\") {
            out += "\\\\";
        } else {
            out += raw;
        }
        bytes.remove_prefix(length);
    }
    return out;
}

bool is_printable(std::string_view bytes) {
    while (!bytes.empty()) {
        const CodePoint point = first_code_point(bytes);
        if (!is_kept(point)) return false;
        bytes.remove_prefix(point.length);
    }
    return true;
}

std::size_t display_width(std::string_view text) {
    std::size_t columns = 0;
    while (!text.empty()) {
        const CodePoint point = first_code_point(text);
        columns += point.length == 0 ? 1 : width(point.value);
        text.remove_prefix(std::max<std::size_t>(point.length, 1));
    }
    return columns;
}

std::string truncated(std::string_view text, std::size_t columns) {
    if (display_width(text) <= columns) return std::string(text);
    if (columns == 0) return {};
    std::size_t end = 0;
    for (std::size_t used = 0; end < text.size();) {
        const CodePoint point = first_code_point(text.substr(end));
        used += point.length == 0 ? 1 : width(point.value);
        if (used >= columns) break; // one column is the mark's
        end += std::max<std::size_t>(point.length, 1);
    }
    return std::string(text.substr(0, end)) + "~";
}

std::string to_lower(std::string_view text) {
    std::string out(text);
    for (char& c : out)
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    return out;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::vector<std::size_t>> cost(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
    for (std::size_t i = 0; i <= a.size(); ++i) cost[i][0] = i;
    for (std::size_t j = 0; j <= b.size(); ++j) cost[0][j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t substitution = cost[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            cost[i][j] = std::min({cost[i - 1][j] + 1, cost[i][j - 1] + 1, substitution});
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                cost[i][j] = std::min(cost[i][j], cost[i - 2][j - 2] + 1);
        }
    }
    return cost[a.size()][b.size()];
}

std::string single_spaced(std::string_view text) {
    constexpr std::string_view blanks = " \t\n\v\f\r";
    std::string out;
    while (true) {
        text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
        if (text.empty()) return out;
        const std::size_t end = std::min(text.find_first_of(blanks), text.size());
        if (!out.empty()) out += ' ';
        out += text.substr(0, end);
        text.remove_prefix(end);
    }
}

} // namespace bpftune

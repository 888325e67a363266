// SPDX-License-Identifier: Apache-2.0
#include "policy/parse.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "core/text.hpp"
#include "policy/lines.hpp"

namespace bpftune::policy {
namespace {

constexpr std::size_t shown_columns = 120; // of a line, from the place on
constexpr std::size_t shown_before = 60;   // code points of it before the place

// The line and the caret; of an empty line neither. Of a long line the part around the place.
std::string excerpt(std::string_view line, std::size_t column) {
    if (line.empty()) return {};
    const std::size_t before = column - 1;
    std::string_view mark;
    if (before > shown_before) {
        line.remove_prefix(bytes_of(line, before - shown_before));
        mark = "~";
    }
    const std::size_t place = bytes_of(line, std::min(before, shown_before));
    const std::string left = std::string(mark) + printable(line.substr(0, place));
    const std::string right = truncated(printable(line.substr(place)), shown_columns);
    return fmt::format("{}{}\n{:{}}^\n", left, right, "", display_width(left));
}

} // namespace

std::string render(std::string_view file, std::string_view text, const std::vector<Diagnostic>& diagnostics) {
    const std::vector<std::string_view> lines = lines_of(without_bom(text));
    const std::string shown_file = printable(file);
    std::string out;
    for (const Diagnostic& diagnostic : diagnostics) {
        const std::size_t line = std::clamp<std::size_t>(diagnostic.line, 1, lines.size());
        const std::size_t column = std::max<std::size_t>(diagnostic.column, 1);
        out += fmt::format("{}:{}:{}: error: {}\n", shown_file, line, column, diagnostic.message);
        out += excerpt(lines[line - 1], column);
        if (!diagnostic.hint.empty()) out += fmt::format("  hint: {}\n", diagnostic.hint);
    }
    return out;
}

} // namespace bpftune::policy

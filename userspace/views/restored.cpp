// SPDX-License-Identifier: Apache-2.0
#include "views/restored.hpp"

#include <algorithm>
#include <map>
#include <vector>

#include <fmt/format.h>

#include "core/text.hpp"
#include "views/grid.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

constexpr std::size_t log_width = 120;

std::string words(std::string text) {
    std::ranges::replace(text, '_', ' ');
    return terminal_safe(text);
}

std::vector<Cell> cells_of(const RestoreLine& line) {
    const auto known = [](const std::string& text) { return text.empty() ? "-" : terminal_safe(text); };
    return {{words(line.result)}, {known(line.tunable)}, {known(line.found)},
            {known(line.in_use)}, {known(line.to)},      {known(line.original)}};
}

// "netns 4026532247, 0.0.0.0:8080: no such process"
std::string details(const RestoreLine& line) {
    return terminal_safe(line.detail.empty() ? line.object : line.object + ": " + line.detail);
}

std::string summary(std::span<const RestoreLine> lines) {
    std::map<std::string, std::size_t> counts;
    for (const RestoreLine& line : lines) ++counts[words(line.result)];
    std::string text = fmt::format("{} value{}", lines.size(), lines.size() == 1 ? "" : "s");
    std::string separator = ": ";
    for (const auto& [result, count] : counts) {
        text += fmt::format("{}{} {}", separator, count, result);
        separator = ", ";
    }
    return text;
}

// Each line, and below it whose value it was.
std::string table_of(std::span<const RestoreLine> lines, std::size_t width) {
    const std::vector<Column> columns{
        {"RESULT", 13, true}, {"TUNABLE", 22, true}, {"FOUND", 7}, {"IN USE", 7}, {"TO", 7}, {"ORIGINAL", 8}};
    std::vector<std::vector<Cell>> rows;
    for (const RestoreLine& line : lines) rows.push_back(cells_of(line));
    const std::vector<std::string> shown = grid(columns, rows, width);
    std::string out = shown.front() + "\n";
    for (std::size_t i = 0; i < lines.size(); ++i) {
        out += shown[i + 1] + "\n";
        for (const std::string& part : wrapped(details(lines[i]), width > 4 ? width - 4 : 1))
            out += "    " + part + "\n";
    }
    return out;
}

} // namespace

bool is_left(const RestoreLine& line) {
    return line.result == "lowered" || line.result == "in_use" || line.result == "failed" ||
           line.result == "not_reached";
}

Json restored_document(std::span<const RestoreLine> lines) {
    const auto known = [](const std::string& text) { return text.empty() ? Json() : Json(text); };
    Json array = Json::array();
    for (const RestoreLine& line : lines)
        array.push_back({{"tunable", line.tunable},
                         {"object", line.object},
                         {"original", line.original},
                         {"found", known(line.found)},
                         {"to", known(line.to)},
                         {"in_use", known(line.in_use)},
                         {"result", line.result},
                         {"detail", known(line.detail)}});
    return array;
}

Result<std::vector<RestoreLine>> parse_restored(std::string_view text) {
    const Json document = Json::parse(text, nullptr, false);
    if (const Json* error = document.is_object() ? find(document, "error") : nullptr;
        error != nullptr && error->is_string())
        return failure("the service answered: {}", terminal_safe(error->get<std::string>()));
    if (!document.is_array()) return failure("the service answered with no list of restored values");
    const auto field = [](const Json& line, std::string_view key) { return known_text(line, key).value_or(""); };
    std::vector<RestoreLine> lines;
    for (const Json& line : document) {
        if (!line.is_object()) return failure("the service answered with no list of restored values");
        lines.push_back({field(line, "tunable"), field(line, "object"), field(line, "original"), field(line, "found"),
                         field(line, "to"), field(line, "in_use"), field(line, "result"), field(line, "detail")});
    }
    return lines;
}

std::string restored_log(std::span<const RestoreLine> lines, std::size_t most) {
    if (lines.size() <= most) return restored_table(lines, log_width);
    std::vector<RestoreLine> shown;
    for (const RestoreLine& line : lines)
        if (is_left(line) && line.result != "not_reached" && shown.size() < most) shown.push_back(line);
    return (shown.empty() ? std::string() : table_of(shown, log_width)) + summary(lines) + "\n";
}

std::string restored_table(std::span<const RestoreLine> lines, std::size_t width) {
    if (lines.empty()) return "nothing to restore\n";
    return table_of(lines, width) + truncated(summary(lines), width) + "\n";
}

} // namespace bpftune::views

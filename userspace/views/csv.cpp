// SPDX-License-Identifier: Apache-2.0
#include "views/csv.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "signals/catalog.hpp"

namespace bpftune::views {
namespace {

// Tables that have a field of the same name share its column.
std::vector<std::string_view> fields() {
    std::vector<std::string_view> all;
    for (const signals::Table& table : signals::catalog())
        for (const signals::Signal& signal : table.signals)
            if (std::ranges::find(all, signal.json) == all.end()) all.push_back(signal.json);
    return all;
}

std::string escaped(std::string_view text) {
    if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
    std::string out = "\"";
    for (const char c : text) {
        if (c == '"') out += '"';
        out += c;
    }
    return out + '"';
}

std::string line_of(std::string_view time, std::string_view table, const std::vector<std::string_view>& columns,
                    const Json& row) {
    std::string line = escaped(time);
    line += ',';
    line += table;
    for (const std::string_view column : columns) {
        line += ',';
        line += escaped(known_text(row, column).value_or(""));
    }
    return line + "\r\n";
}

} // namespace

std::string csv_heading() {
    std::string line = "time,table";
    for (const std::string_view field : fields()) {
        line += ',';
        line += field;
    }
    return line + "\r\n";
}

Result<std::string> top_csv(const Json& top) {
    if (!top.is_object()) return failure("not a JSON object");
    const std::string time = text_of(top, "time");
    const std::vector<std::string_view> columns = fields();
    std::string out;
    for (const signals::Table& table : signals::catalog()) {
        const Json* rows = find(top, table.json);
        if (rows == nullptr || !rows->is_array()) continue;
        for (const Json& row : *rows)
            if (row.is_object()) out += line_of(time, table.json, columns, row);
    }
    return out;
}

} // namespace bpftune::views

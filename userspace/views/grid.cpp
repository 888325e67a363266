// SPDX-License-Identifier: Apache-2.0
#include "views/grid.hpp"

#include <algorithm>

#include "core/text.hpp"
#include "views/text.hpp"

namespace bpftune::views {
namespace {

std::size_t width_of(const Cell& cell) { return display_width(cell.text) + display_width(cell.tail); }

struct Fitted {
    std::size_t column = 0;
    std::size_t wanted = 0; // by the longest cell
    std::size_t width = 0;
};

struct Layout {
    std::vector<Fitted> columns;
    std::size_t gap = 2;

    [[nodiscard]] std::size_t width() const {
        std::size_t sum = columns.empty() ? 0 : gap * (columns.size() - 1);
        for (const Fitted& column : columns) sum += column.width;
        return sum;
    }
};

Layout layout_of(const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows, bool with_wide) {
    Layout layout;
    for (std::size_t i = 0; i < columns.size(); ++i) {
        if (columns[i].wide && !with_wide) continue;
        const std::size_t heading = display_width(columns[i].heading);
        std::size_t wanted = heading;
        for (const auto& row : rows) wanted = std::max(wanted, width_of(row[i]));
        const std::size_t least = std::min(wanted, std::max(columns[i].width, heading));
        layout.columns.push_back({i, wanted, columns[i].left ? least : wanted});
    }
    return layout;
}

// What is left of the line goes to the cells that were cut.
void widen(Layout& layout, std::size_t width) {
    const std::size_t used = layout.width();
    std::size_t left = width > used ? width - used : 0;
    for (Fitted& column : layout.columns) {
        const std::size_t more = std::min(left, column.wanted - column.width);
        column.width += more;
        left -= more;
    }
}

// First the wide columns go, then the second blank between columns.
Layout fitted(const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows, std::size_t width) {
    Layout layout = layout_of(columns, rows, true);
    if (layout.width() > width) layout = layout_of(columns, rows, false);
    if (layout.width() > width) layout.gap = 1;
    widen(layout, width);
    return layout;
}

std::string shown(const Cell& cell, const Column& column, std::size_t width) {
    const std::size_t tail = display_width(cell.tail);
    const std::string text = truncated(cell.text, width > tail ? width - tail : 0) + cell.tail;
    return padded(text, width, !column.left);
}

} // namespace

std::vector<std::string> grid(const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                              std::size_t width) {
    const Layout layout = fitted(columns, rows, width);
    const auto line = [&](const auto& cell_of) {
        std::string text;
        for (const Fitted& column : layout.columns) {
            if (!text.empty()) text.append(layout.gap, ' ');
            text += shown(cell_of(column.column), columns[column.column], column.width);
        }
        text.erase(text.find_last_not_of(' ') + 1);
        return truncated(text, width);
    };
    std::vector<std::string> lines{line([&](std::size_t i) { return Cell{columns[i].heading}; })};
    for (const auto& row : rows) lines.push_back(line([&](std::size_t i) { return row[i]; }));
    return lines;
}

} // namespace bpftune::views

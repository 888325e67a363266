// SPDX-License-Identifier: Apache-2.0
// Columns that fit a width.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

namespace bpftune::views {

struct Cell {
    std::string text;
    std::string tail; // never cut: the port behind an address
};

struct Column {
    std::string heading;
    std::size_t width = 0; // that it can have even where space is short
    bool left = false;     // text, which may be cut; numbers are not
    bool wide = false;     // left out unless all columns fit
};

// The heading and then one line for each row, none longer than `width`. Every row has a cell for each column.
std::vector<std::string> grid(const std::vector<Column>& columns, const std::vector<std::vector<Cell>>& rows,
                              std::size_t width);

} // namespace bpftune::views

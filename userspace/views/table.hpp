// SPDX-License-Identifier: Apache-2.0
// `top` for people: the tables of the catalog, the most troubled rows first.
#pragma once

#include <cstddef>
#include <string>

#include "core/result.hpp"
#include "views/json.hpp"

namespace bpftune::views {

struct TableOptions {
    std::size_t width = 80; // no line is longer
    std::size_t height = 0; // rows without loss are left out until it fits, and counted; 0: all are shown
    bool color = false;     // escapes: only for a terminal
};

// `top`: what `top_document` made, here or in a service of another version. A field that is missing shows as "-", one
// that is not known is not shown. Lines end in a newline. Fails on what is no such document at all.
Result<std::string> top_table(const Json& top, const TableOptions& options);

} // namespace bpftune::views

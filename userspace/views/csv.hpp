// SPDX-License-Identifier: Apache-2.0
// `top -o csv`, as RFC 4180 has it: lines end in CRLF, and every line has the same fields.
#pragma once

#include <string>

#include "core/result.hpp"
#include "views/json.hpp"

namespace bpftune::views {

// "time,table,..." with every field of every table of the catalog once.
std::string csv_heading();

// One line for each row of each table of `top`; a field that its table has not, or that is not known, is empty.
// Fails on what is no such document at all.
Result<std::string> top_csv(const Json& top);

} // namespace bpftune::views

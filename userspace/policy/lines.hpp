// SPDX-License-Identifier: Apache-2.0
// Lines and columns of a text of any bytes: a byte that is no UTF-8 counts as one code point.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

namespace bpftune::policy {

// Without the byte order mark that some editors put in front.
std::string_view without_bom(std::string_view text);

// Ended by LF or CRLF, which are not part of them. Never empty; text that ends in LF has an empty last line.
std::vector<std::string_view> lines_of(std::string_view text);

// Code points in the first `bytes` bytes of `line`.
std::size_t points_of(std::string_view line, std::size_t bytes);

// Bytes of the first `points` code points of `line`, at most all.
std::size_t bytes_of(std::string_view line, std::size_t points);

} // namespace bpftune::policy

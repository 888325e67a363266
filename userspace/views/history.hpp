// SPDX-License-Identifier: Apache-2.0
// `history` for people.
#pragma once

#include <string>

#include "views/json.hpp"

namespace bpftune::views {

// `changes`: what `changes_document` made. Two lines or more for each change: when, what, from where to where and what
// became of it; then for whom, how fast and why, wrapped. Lines end in a newline.
std::string history_table(const Json& changes, std::size_t width);

// Whose limit a change is about: "shop/web-0, 0.0.0.0:8080", "netns 4026531833".
std::string whom_of(const Json& change);

// One change on one line, cut to `width`, without a newline: for `top`.
std::string change_line(const Json& change, std::size_t width);

} // namespace bpftune::views

// SPDX-License-Identifier: Apache-2.0
// YAML text -> a tree in which every node knows its place. Stricter than YAML: no tags, anchors or aliases, one
// document, UTF-8 without control characters, at most largest_file_bytes.
#pragma once

#include <compare>
#include <cstddef>
#include <expected>
#include <string>
#include <string_view>
#include <vector>

#include "policy/diagnostic.hpp"

namespace bpftune::policy {

// Both from 1. A column is in bytes here, as a Diagnostic's until `count_code_points` has seen it: counting code points
// for every node would be quadratic in a long line.
struct Place {
    std::size_t line = 1;
    std::size_t column = 1;

    auto operator<=>(const Place&) const = default;
};

struct Element {
    enum class Kind {
        null,   // nothing, "~" or "null"
        scalar, // plain or quoted: the difference does not matter here
        list,
        map,
        refused, // an alias: reported already
    };

    Kind kind = Kind::null;
    Place place;                 // of a null: its key's
    std::string text;            // scalar
    std::vector<Element> keys;   // map: in the order of the file, duplicates included
    std::vector<Element> values; // map: one for each key; list: its items
};

struct Document {
    Element root;
    std::vector<Diagnostic> problems; // what is well-formed, but refused
};

// Never throws on any bytes. What is not well-formed is one Diagnostic: the rest can't be trusted.
std::expected<Document, Diagnostic> read(std::string_view text);

// Columns in bytes -> columns in code points. `text`: what `read` had.
void count_code_points(std::string_view text, std::vector<Diagnostic>& problems);

} // namespace bpftune::policy

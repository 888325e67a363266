// SPDX-License-Identifier: Apache-2.0
// Bytes from elsewhere (process names, pod names, files) made fit to show. Whatever enters a Snapshot, a log line or a
// diagnostic goes through `printable` once, at the edge where it is read.
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>

namespace bpftune {

// Valid UTF-8 without control characters: C0, DEL, C1, bidirectional overrides, line separators and every byte that is
// no UTF-8 become \xNN of their bytes, and a backslash becomes \\, so that the result is unambiguous.
// Never throws on any input; idempotent only on text without backslashes.
std::string printable(std::string_view bytes);

// Whether all of it is text that `printable` keeps, but for backslashes: valid UTF-8 without control characters.
bool is_printable(std::string_view bytes);

// With one blank between its words, and none around: as a sysctl's value is compared.
std::string single_spaced(std::string_view text);

struct CodePoint {
    char32_t value = 0;
    std::size_t length = 0; // bytes; 0: no valid UTF-8 (RFC 3629) here, or the text is empty
};
CodePoint first_code_point(std::string_view text);

// Columns that `text` (the result of `printable`) takes on a terminal: wide (East Asian) characters and emoji 2,
// accents that combine with the character before 0. From a short table of blocks, not from the locale.
std::size_t display_width(std::string_view text);

// At most `columns` columns of `text`; a cut is marked by a final "~".
std::string truncated(std::string_view text, std::size_t columns);

// The known word nearest to `word` (edit distance of a typing error), or an empty view: for "did you mean".
// Upper and lower case (ASCII) count as the same.
template <class Range> std::string_view nearest(std::string_view word, const Range& candidates);

// Levenshtein distance in bytes, transpositions counted once.
std::size_t edit_distance(std::string_view a, std::string_view b);

// ASCII letters only; other bytes stay.
std::string to_lower(std::string_view text);

template <class Range> std::string_view nearest(std::string_view word, const Range& candidates) {
    const std::string sought = to_lower(word);
    std::string_view best;
    std::size_t least = std::clamp<std::size_t>(word.size() / 3, 1, 4) + 1; // more is another word, not a misspelling
    for (const std::string_view candidate : candidates) {
        if (candidate.size() >= word.size() + least || word.size() >= candidate.size() + least) continue;
        const std::size_t distance = edit_distance(sought, to_lower(candidate));
        if (distance < least) {
            least = distance;
            best = candidate;
        }
    }
    return best;
}

} // namespace bpftune

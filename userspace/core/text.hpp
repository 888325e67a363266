// SPDX-License-Identifier: Apache-2.0
// Bytes from elsewhere (process names, pod names, files) made fit to show. Whatever enters a Snapshot, a log line or a
// diagnostic goes through `printable` once, at the edge where it is read.
#pragma once

#include <string>
#include <string_view>

namespace bpftune {

// Valid UTF-8 without control characters: C0, DEL, C1, bidirectional overrides, line separators and every byte that is
// no UTF-8 become \xNN of their bytes, and a backslash becomes \\, so that the result is unambiguous.
// Never throws on any input; idempotent only on text without backslashes.
std::string printable(std::string_view bytes);

// Columns that `text` (the result of `printable`) takes on a terminal: code points, wide ones not counted twice.
std::size_t display_width(std::string_view text);

// At most `columns` code points of `text`; a cut is marked by a final "~".
std::string truncated(std::string_view text, std::size_t columns);

// The known word nearest to `word` (edit distance of a typing error), or an empty view: for "did you mean".
template <class Range> std::string_view nearest(std::string_view word, const Range& candidates);

// Levenshtein distance in bytes, transpositions counted once.
std::size_t edit_distance(std::string_view a, std::string_view b);

template <class Range> std::string_view nearest(std::string_view word, const Range& candidates) {
    std::string_view best;
    std::size_t least = word.size() / 3 + 2; // a third of the word wrong is no misspelling any more
    for (std::string_view candidate : candidates) {
        const std::size_t distance = edit_distance(word, candidate);
        if (distance < least) {
            least = distance;
            best = candidate;
        }
    }
    return best;
}

} // namespace bpftune

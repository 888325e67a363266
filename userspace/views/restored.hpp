// SPDX-License-Identifier: Apache-2.0
// What `restore` did.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "views/json.hpp"

namespace bpftune::views {

struct RestoreLine {
    std::string tunable;
    std::string object;   // whose value: "netns 4026532247, 0.0.0.0:8080"
    std::string original; // what it was before our first write
    std::string found;    // what it was when restore came; empty: not known
    std::string to;       // what it is now, or would be; empty: as found
    std::string in_use; // of it when restore came: connections that wait, entries; empty: nothing of its own, not known
    std::string result; // restored, would_restore, lowered, would_lower, in_use, unchanged, gone, foreign, failed or
                        // not_reached
    std::string detail; // the error, what would be lost, why it stays; or empty
};

// Whether it is not back yet, and `restore` or a running service is to go on with it.
bool is_left(const RestoreLine& line);

// An array of objects with these fields; `found`, `to`, `in_use` and `detail` are null when empty.
Json restored_document(std::span<const RestoreLine> lines);

// What a service sent: an array of such objects, or its {"error": ...}.
Result<std::vector<RestoreLine>> parse_restored(std::string_view text);

// A table, with whose value it was and what went wrong below each row, and a last line that counts the results. Lines
// end in a newline.
std::string restored_table(std::span<const RestoreLine> lines, std::size_t width);

// The same for a log: of more than `most` lines only so many of what is left though it was looked at, and how many
// there are of each result.
std::string restored_log(std::span<const RestoreLine> lines, std::size_t most);

} // namespace bpftune::views

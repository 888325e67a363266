// SPDX-License-Identifier: Apache-2.0
// Puts back what was there before the first write of this boot, as far as what is in use lets it.
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "actuators/journal.hpp"
#include "actuators/writer.hpp"

namespace bpftune::actuators {

struct Restored {
    enum class Kind {
        restored,      // the original was written and read back
        would_restore, // dry run
        lowered,       // to `to`: a step, for the original has no room for what is in use
        would_lower,   // dry run
        in_use,        // left as it is: less has no room for what is in use; or `error`: that is not known, or nobody
                       // can reach it now
        unchanged,     // it already was the original: the service died before its write
        gone,          // the namespace or socket is no longer there
        foreign,     // `found` is neither what we wrote nor the original: someone else's, left alone; of a listener its
                     // application's, which called listen() again: `error` says so
        failed,      // `error`
        not_reached, // the time there was is over (RestoreOptions::longest): not looked at, and held on
    };

    Holding holding;
    Kind kind = Kind::failed;
    std::string found;
    std::string to; // what it is now, or would be; empty: as found
    std::string error;
    std::optional<std::uint64_t> in_use; // of what is to go back
    std::string needed_by;               // what keeps it above its original, where that is no use of its own
};
std::string_view to_string(Restored::Kind kind);

struct RestoreOptions {
    bool dry_run = false;
    bool now = false;        // whatever is in use
    bool only_begun = false; // what an earlier one could not put back whole (Holding::undoing)
    Nanoseconds patience{};  // with a writer that is busy, in all; without, what comes after that fails
    // No object is begun after so long; one that is begun takes as long as its requests do.
    std::optional<Nanoseconds> longest = {};
    // A row (Holding::rows) of the object to begin with, where that is there: those after it follow, then those before.
    std::int64_t first = 0;
    std::function<bool(const ObjectKey&)> left_out = {}; // what somebody else puts back; empty: nothing
};

// Listeners first, while their namespaces' somaxconn still lets them have their originals; then nf_conntrack_max before
// the buckets that follow it; else newest first. What cannot go back whole goes as far as tunables::way_back says, is
// held on, and marked as `undoing`. Somaxconn stays above the listeners that stay. Looks at what is in use when it
// comes to each, and once more as it writes. The journal is updated unless `dry_run`: first all that is to go back is
// marked, so that whoever is killed meanwhile leaves the rest to the next; what became of an object may be recorded
// some objects later. What hangs costs what Writer::write() says, and nobody else. An error here means that the journal
// could not be read; what went wrong with one object is in its row.
Result<std::vector<Restored>> restore(Journal& journal, Writer& writer, const RestoreOptions& options = {});

} // namespace bpftune::actuators

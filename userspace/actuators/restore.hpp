// SPDX-License-Identifier: Apache-2.0
// Puts back what was there before the first write of this boot.
#pragma once

#include <string>
#include <vector>

#include "actuators/journal.hpp"
#include "actuators/writer.hpp"

namespace bpftune::actuators {

struct Restored {
    enum class Kind {
        restored,      // the original was written and read back
        would_restore, // dry run
        unchanged,     // it already was the original: the service died before its write
        gone,          // the namespace or socket is no longer there
        foreign,       // `found` is neither what we wrote nor the original: someone else's, left alone
        failed,        // `error`
    };

    Holding holding;
    Kind kind = Kind::failed;
    std::string found;
    std::string error;
};
std::string_view to_string(Restored::Kind kind);

// Listeners first, while their namespaces' somaxconn still lets them have their originals; then newest first.
// The journal is updated unless `dry_run`. An error here means that the journal could not be read; what went wrong
// with one object is in its row.
Result<std::vector<Restored>> restore(Journal& journal, Writer& writer, bool dry_run);

} // namespace bpftune::actuators

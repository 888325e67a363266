// SPDX-License-Identifier: Apache-2.0
// One instance at a time: whoever may write holds the lock of the state directory. The file says who holds it and, in
// its second line, in which boot changes were last recorded: a journal that is damaged is of that one, and one that is
// not there in that boot has been lost.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/result.hpp"
#include "core/time.hpp"
#include "sys/fd.hpp"

namespace bpftune::service {

struct StateLock {
    sys::Fd file;
    std::filesystem::path path;
    std::optional<std::string> boot; // nullopt: none yet, or not known, as of an earlier version's
    bool is_boot_kept = true;        // on the disk
    bool has_closed = false;         // its directory, which others could enter until now
};

// Creates `state_dir` (0750) when it is not there, and closes it to others where nothing but our files is in it, or
// nothing: to a name that they can reach they may give a second one. Waits up to `patience` for another holder: a
// writer whose service was killed dies an instant later. The error says who holds it, or which of the two is not ours
// alone (sys/own_files.hpp). A file of that name that holds anything but what we write stays as it is. A disk that is
// full, or read-only, keeps nobody from it.
Result<StateLock> lock_state(const std::filesystem::path& state_dir, Nanoseconds patience);

// To be said before a change is recorded whose original is needed again. The file has it at once, whatever becomes of
// this process, and no burst waits for the disk. Error: it could not be said, so nothing is to be recorded.
Result<> note_boot(StateLock& lock, const std::string& boot_id);

// Has it on the disk as well, and waits for that: by the next boot it tells of which one a journal is that a power
// failure has damaged. Where that comes before, the boot before is there still, which tells the same.
Result<> keep_boot(StateLock& lock);

} // namespace bpftune::service

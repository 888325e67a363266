// SPDX-License-Identifier: Apache-2.0
// One instance at a time: whoever may write holds the lock of the state directory. The file says who holds it and, in
// its second line, in which boot changes were last recorded: a journal that is damaged is of that one.
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
    std::optional<std::string> boot; // nullopt: not known, as of a lock that is new, or an earlier version's
    bool has_closed = false;         // its directory, which others could enter until now
};

// Creates `state_dir` (0750) when it is not there, and closes it to others where nothing but our files is in it, or
// nothing: to a name that they can reach they may give a second one. Waits up to `patience` for another holder: a
// writer whose service was killed dies an instant later. The error says who holds it, or which of the two is not ours
// alone (sys/own_files.hpp). A file of that name that holds anything but what we write stays as it is. A disk that is
// full, or read-only, keeps nobody from it.
Result<StateLock> lock_state(const std::filesystem::path& state_dir, Nanoseconds patience);

// To be said before anything is recorded in this boot. Error: it could not be, so nothing is to be.
Result<> note_boot(StateLock& lock, const std::string& boot_id);

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// A journal that is damaged is neither read nor deleted: it gets another name, and a new one is begun. What was raised
// before in its boot is not known then, until the next boot, after which nothing of it is left.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "core/result.hpp"

namespace bpftune::actuators {

// Renames journal.db of `directory`, and the log beside it, to journal-damaged-BOOT.db, or -2 to -9, whose place the
// next one takes: no more are kept of one boot. Where only its log is there the rest is: it was set aside before, or is
// gone. Where neither is, and none was set aside before, an empty file says so. Its new path. The boot is the last one
// that changes may have been written to it in.
Result<std::filesystem::path> set_journal_aside(const std::filesystem::path& directory, const std::string& boot_id);

// The first one of this boot that was set aside and is still there, or the log of one.
std::optional<std::filesystem::path> journal_set_aside(const std::filesystem::path& directory,
                                                       const std::string& boot_id);

// Whether nothing was in it: the journal was missing, or empty.
bool is_empty(const std::filesystem::path& aside);

} // namespace bpftune::actuators

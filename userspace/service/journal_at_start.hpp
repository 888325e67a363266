// SPDX-License-Identifier: Apache-2.0
// The journal when the service starts, on a disk that may be hurt: one that is damaged is set aside, and where it is of
// this boot the node is observed; so it is where one is gone in which changes of this boot were recorded. Without a
// disk that takes anything, or that can be read, the service begins without one.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "actuators/journal.hpp"
#include "core/result.hpp"
#include "service/lock.hpp"

namespace bpftune::service {

// Whether one may be begun where there is none: not where the lock says that changes of this boot were recorded in it.
actuators::Journal::IfNone if_none(const StateLock& lock, const std::string& boot_id);

// Sets a damaged one aside, says so in the log, and begins a new one. Where something is held in the one that is there,
// the lock of its directory says so from then on, also if it was made anew.
Result<actuators::Journal> open_journal(StateLock& lock, const std::string& boot_id);

// The same; where the disk is full or fails, a closed one: nothing can be written until it is opened.
Result<actuators::Journal> open_journal_if_it_can_be(StateLock& lock, const std::string& boot_id);

// Why nothing may be written in this boot: the originals of what was raised are in a journal that was set aside, or is
// gone.
std::optional<std::string> originals_lost(const std::filesystem::path& state_dir, const std::string& boot_id);

} // namespace bpftune::service

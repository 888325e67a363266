// SPDX-License-Identifier: Apache-2.0
// The journal when the service starts: one that is damaged is set aside, and the node is observed.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "actuators/journal.hpp"
#include "core/result.hpp"

namespace bpftune::service {

// Sets a damaged one aside, says so in the log, and begins a new one.
Result<actuators::Journal> open_journal(const std::filesystem::path& state_dir, const std::string& boot_id);

// Why nothing may be written in this boot: the originals of what was raised are in a journal that was set aside.
std::optional<std::string> originals_lost(const std::filesystem::path& state_dir, const std::string& boot_id);

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
#include "service/journal_at_start.hpp"

#include <spdlog/spdlog.h>

#include "actuators/damaged_journal.hpp"
#include "core/text.hpp"

namespace bpftune::service {

Result<actuators::Journal> open_journal(const std::filesystem::path& state_dir, const std::string& boot_id) {
    auto journal = actuators::Journal::open(state_dir, boot_id);
    if (journal || journal.error().code != actuators::Journal::damaged) return journal;
    const auto aside = actuators::set_journal_aside(state_dir, boot_id);
    if (!aside) return with_context(aside.error(), "{}", journal.error().message);
    spdlog::error("{}: set aside as {}, a new one is begun", printable(journal.error().message),
                  printable(aside->string()));
    return actuators::Journal::open(state_dir, boot_id);
}

std::optional<std::string> originals_lost(const std::filesystem::path& state_dir, const std::string& boot_id) {
    const auto aside = actuators::journal_set_aside(state_dir, boot_id);
    if (!aside) return std::nullopt;
    return fmt::format("the journal was damaged and is set aside as {}: what was raised before, and from which values, "
                       "is not known. Observing until the next boot, or until that file is moved away and the policy "
                       "reloaded",
                       printable(aside->string()));
}

} // namespace bpftune::service

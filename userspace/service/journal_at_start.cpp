// SPDX-License-Identifier: Apache-2.0
#include "service/journal_at_start.hpp"

#include <spdlog/spdlog.h>

#include "actuators/damaged_journal.hpp"
#include "core/text.hpp"

namespace bpftune::service {
namespace {

// One in which nothing of this boot can have been recorded is history, and takes no original with it.
Result<> set_aside(const StateLock& lock, const std::string& boot_id, const Error& damage) {
    const std::string of_boot = lock.boot.value_or(boot_id);
    const auto aside = actuators::set_journal_aside(lock.path.parent_path(), of_boot);
    if (!aside) return with_context(aside.error(), "{}", damage.message);
    spdlog::error("{}: set aside as {}, a new one is begun{}", printable(damage.message), printable(aside->string()),
                  of_boot == boot_id ? "" : "; nothing of this boot was in it");
    return {};
}

} // namespace

Result<actuators::Journal> open_journal(StateLock& lock, const std::string& boot_id) {
    const auto open = [&] { return actuators::Journal::open(lock.path.parent_path(), boot_id); };
    auto journal = open();
    if (!journal && journal.error().code == actuators::Journal::damaged) {
        if (auto done = set_aside(lock, boot_id, journal.error()); !done) return std::unexpected(done.error());
        journal = open();
    }
    if (!journal) return journal;
    if (auto noted = note_boot(lock, boot_id); !noted) return std::unexpected(noted.error());
    return journal;
}

Result<actuators::Journal> open_journal_if_it_can_be(StateLock& lock, const std::string& boot_id) {
    auto journal = open_journal(lock, boot_id);
    if (journal || !actuators::Journal::is_of_disk(journal.error())) return journal;
    return actuators::Journal::closed(journal.error());
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

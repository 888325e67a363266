// SPDX-License-Identifier: Apache-2.0
#include "service/journal_at_start.hpp"

#include <spdlog/spdlog.h>

#include "actuators/damaged_journal.hpp"
#include "core/text.hpp"

namespace bpftune::service {
namespace {

using actuators::Journal;

// One in which nothing of this boot can have been recorded is history, and takes no original with it.
Result<> set_aside(const StateLock& lock, const std::string& boot_id, const Error& damage) {
    const std::string of_boot = lock.boot.value_or(boot_id);
    const auto aside = actuators::set_journal_aside(lock.path.parent_path(), of_boot);
    if (!aside) return with_context(aside.error(), "{}", damage.message);
    spdlog::error("{}: {} {}, a new one is begun{}", printable(damage.message),
                  actuators::is_empty(*aside) ? "remembered by" : "set aside as", printable(aside->string()),
                  of_boot == boot_id ? "" : "; nothing of this boot was in it");
    return {};
}

// The lock may have been removed, or be an earlier version's. What this version can't read is held as well.
Result<> note_what_is_held(StateLock& lock, const std::string& boot_id, const Journal& journal) {
    if (lock.boot == boot_id) return {};
    const auto holdings = journal.holdings();
    if (holdings && holdings->empty()) return {};
    if (auto noted = note_boot(lock, boot_id); !noted) return noted;
    return keep_boot(lock);
}

} // namespace

Journal::IfNone if_none(const StateLock& lock, const std::string& boot_id) {
    return lock.boot == boot_id ? Journal::IfNone::refuse : Journal::IfNone::begin;
}

Result<Journal> open_journal(StateLock& lock, const std::string& boot_id) {
    const std::filesystem::path directory = lock.path.parent_path();
    auto journal = Journal::open(directory, boot_id, if_none(lock, boot_id));
    if (!journal && journal.error().code == Journal::damaged) {
        if (auto done = set_aside(lock, boot_id, journal.error()); !done) return std::unexpected(done.error());
        journal = Journal::open(directory, boot_id);
    }
    if (!journal) return journal;
    if (auto noted = note_what_is_held(lock, boot_id, *journal); !noted) return std::unexpected(noted.error());
    return journal;
}

Result<Journal> open_journal_if_it_can_be(StateLock& lock, const std::string& boot_id) {
    auto journal = open_journal(lock, boot_id);
    if (journal || !Journal::is_of_disk(journal.error())) return journal;
    return Journal::closed(journal.error());
}

std::optional<std::string> originals_lost(const std::filesystem::path& state_dir, const std::string& boot_id) {
    const auto aside = actuators::journal_set_aside(state_dir, boot_id);
    if (!aside) return std::nullopt;
    const std::string name = printable(aside->string());
    const std::string what = actuators::is_empty(*aside)
                                 ? fmt::format("journal.db was missing, or empty, and changes of this boot had been "
                                               "recorded in it ({} says so)",
                                               name)
                                 : fmt::format("the journal was damaged and is set aside as {}", name);
    return fmt::format("{}: what was raised before, and from which values, is not known. Observing until the next "
                       "boot, or until that file is moved away and the policy reloaded",
                       what);
}

} // namespace bpftune::service

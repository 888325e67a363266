// SPDX-License-Identifier: Apache-2.0
#include "actuators/damaged_journal.hpp"

#include <system_error>

#include "actuators/journal.hpp"

namespace bpftune::actuators {
namespace {

namespace fs = std::filesystem;

constexpr int most_of_a_boot = 9;

// Whatever its name stands for.
bool is_there(const fs::path& path) {
    std::error_code ignored;
    return fs::symlink_status(path, ignored).type() != fs::file_type::not_found;
}

fs::path aside(const fs::path& directory, const std::string& boot_id, int number) {
    return directory /
           fmt::format("journal-damaged-{}{}.db", boot_id, number == 1 ? std::string() : fmt::format("-{}", number));
}

} // namespace

Result<fs::path> set_journal_aside(const fs::path& directory, const std::string& boot_id) {
    int number = 1;
    while (number < most_of_a_boot && is_there(aside(directory, boot_id, number))) ++number;
    const fs::path from = directory / journal_file_name;
    fs::path to = aside(directory, boot_id, number);
    std::error_code error;
    // The log first: beside a new journal it must not be found. The index is made again from it.
    for (const char* beside : {"-wal", ""}) {
        fs::rename(from.string() + beside, to.string() + beside, error);
        if (error && error != std::errc::no_such_file_or_directory)
            return failure("set {} aside: {}", from.string() + beside, error.message());
    }
    fs::remove(from.string() + "-shm", error);
    return to;
}

std::optional<fs::path> journal_set_aside(const fs::path& directory, const std::string& boot_id) {
    fs::path first = aside(directory, boot_id, 1);
    return is_there(first) ? std::optional(std::move(first)) : std::nullopt;
}

} // namespace bpftune::actuators

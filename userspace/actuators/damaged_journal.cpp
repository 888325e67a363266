// SPDX-License-Identifier: Apache-2.0
#include "actuators/damaged_journal.hpp"

#include <algorithm>
#include <system_error>

#include <fcntl.h>

#include "actuators/journal.hpp"
#include "sys/fd.hpp"

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

// The journal that was set aside as `path`, or its log where somebody has taken that away.
std::optional<fs::path> left_of(const fs::path& path) {
    for (const char* beside : {"", "-wal"})
        if (fs::path name = path.string() + beside; is_there(name)) return name;
    return std::nullopt;
}

// The next place. Where only the log of a journal is left to be moved, and the last one that was set aside has none, it
// is that one's: whoever moved that did not come further.
fs::path place_for(const fs::path& directory, const std::string& boot_id) {
    int last = 0;
    while (last < most_of_a_boot && left_of(aside(directory, boot_id, last + 1))) ++last;
    fs::path newest = aside(directory, boot_id, std::max(last, 1));
    const bool is_begun = !is_there(directory / journal_file_name) && is_there(newest);
    if (is_begun && !is_there(newest.string() + "-wal")) return newest;
    return aside(directory, boot_id, std::min(last + 1, most_of_a_boot));
}

// 0640, as a journal.
Result<fs::path> say_that_none_was_there(fs::path aside) {
    const sys::Fd file(::open(aside.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640));
    if (!file) return system_failure(errno, "make {}", aside.string());
    return aside;
}

} // namespace

// The journal first: from then on it is set aside, whatever else comes to be done. Its log alone is taken for what is
// left of a damaged one (Journal::open), and its index is made again.
Result<fs::path> set_journal_aside(const fs::path& directory, const std::string& boot_id) {
    const fs::path from = directory / journal_file_name;
    const bool is_left = left_of(from).has_value();
    if (auto before = journal_set_aside(directory, boot_id); before && !is_left) return std::move(*before);
    fs::path to = place_for(directory, boot_id);
    if (!is_left) return say_that_none_was_there(std::move(to));
    std::error_code error;
    if (is_there(from))
        for (const char* beside : {"-wal", "-shm"}) fs::remove(to.string() + beside, error); // of whose place it takes
    for (const char* beside : {"", "-wal"}) {
        fs::rename(from.string() + beside, to.string() + beside, error);
        if (error && error != std::errc::no_such_file_or_directory)
            return system_failure(error.value(), "set {} aside", from.string() + beside);
    }
    fs::remove(from.string() + "-shm", error);
    return to;
}

std::optional<fs::path> journal_set_aside(const fs::path& directory, const std::string& boot_id) {
    std::optional<fs::path> found;
    for (int number = 1; number <= most_of_a_boot && !found; ++number)
        found = left_of(aside(directory, boot_id, number));
    return found;
}

bool is_empty(const fs::path& aside) {
    std::error_code error;
    return fs::file_size(aside, error) == 0 && !error;
}

} // namespace bpftune::actuators

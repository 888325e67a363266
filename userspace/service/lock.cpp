// SPDX-License-Identifier: Apache-2.0
#include "service/lock.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/parse.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/own_files.hpp"

namespace bpftune::service {
namespace {

constexpr Nanoseconds between_tries = std::chrono::milliseconds(20);

constexpr auto lock_name = "lock";
// Blanks make it the same length each time. So it is written over in one piece and never cut: that takes no new room,
// and leaves the line of the boot whole whenever we are killed.
constexpr std::size_t pid_width = 10;
constexpr std::size_t boot_width = 36;
constexpr std::size_t longest_lock = pid_width + boot_width + 2;

struct Content {
    std::optional<std::uint64_t> pid;
    std::optional<std::string> boot;
};

bool is_boot_id(std::string_view text) {
    return text.size() == boot_width && text.find_first_not_of("0123456789abcdef-") == std::string_view::npos;
}

std::string_view without_blanks(std::string_view text) { return text.substr(0, text.find_last_not_of(' ') + 1); }

// nullopt: it is no lock of ours. Zeros are what a file system may leave of what had not reached the disk.
std::optional<Content> content_of(std::string_view text) {
    Content content;
    if (text.find_first_not_of('\0') == std::string_view::npos) return content;
    const std::size_t end = std::min(text.find('\n'), text.size());
    const auto pid = parse_number(without_blanks(text.substr(0, end)));
    if (!pid) return std::nullopt;
    content.pid = *pid;
    const std::string_view rest = text.substr(std::min(end + 1, text.size()));
    // Of an earlier version; or what a power failure left of the first time that a boot was noted.
    if (rest.find_first_not_of('\0') == std::string_view::npos) return content;
    if (rest.size() != boot_width + 1 || rest.back() != '\n') return std::nullopt;
    const std::string_view boot = without_blanks(rest.substr(0, boot_width));
    if (boot.empty()) return content;
    if (!is_boot_id(boot)) return std::nullopt;
    content.boot = boot;
    return content;
}

Result<Content> read_content(const sys::Fd& file, const std::filesystem::path& path) {
    const auto text = sys::read_all(file, longest_lock);
    if (!text && text.error().code != 0) return with_context(text.error(), "read {}", path.string());
    const auto content = text ? content_of(*text) : std::nullopt;
    if (content) return *content;
    return failure("{} holds no process id, as a lock of ours does: move it away, or name another state directory",
                   path.string());
}

// Opened anew: when it was locked its file system may have been read-only.
Result<> write_content(const StateLock& lock, const std::string& boot) {
    const std::string text = fmt::format("{:<{}}\n{:<{}}\n", ::getpid(), pid_width, boot, boot_width);
    const sys::Fd file(::open(fmt::format("/proc/self/fd/{}", lock.file.value()).c_str(), O_WRONLY | O_CLOEXEC));
    const ssize_t written = file ? ::pwrite(file.value(), text.data(), text.size(), 0) : -1;
    if (written == static_cast<ssize_t>(text.size())) return {};
    return system_failure(written < 0 ? errno : ENOSPC, "write {}", lock.path.string());
}

Result<> take_lock(const sys::Fd& file, const std::filesystem::path& path, Nanoseconds patience) {
    const MonoTime deadline = sys::now().mono + patience;
    while (::flock(file.value(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return system_failure(errno, "lock {}", path.string());
        if (sys::now().mono >= deadline) {
            const auto content = read_content(file, path);
            const bool is_known = content && content->pid;
            return failure("another instance{} holds {}; stop it first",
                           is_known ? fmt::format(" (pid {})", *content->pid) : std::string(), path.string());
        }
        std::this_thread::sleep_for(between_tries);
    }
    return {};
}

enum class Holds { nothing, ours_alone, others };

bool is_of_ours(const std::filesystem::directory_entry& entry) {
    std::error_code error;
    const std::string name = entry.path().filename();
    const bool is_named = name == lock_name || name.starts_with("journal.db") || name.starts_with("journal-damaged-");
    return is_named && std::filesystem::is_regular_file(entry.symlink_status(error));
}

// A directory that others use as well, named by mistake, is not to be closed to them.
Holds held_by(const std::filesystem::path& directory) {
    std::error_code error;
    Holds holds = Holds::nothing;
    for (std::filesystem::directory_iterator entry(directory, error), end; !error && entry != end;
         entry.increment(error)) {
        if (!is_of_ours(*entry)) return Holds::others;
        holds = Holds::ours_alone;
    }
    return error ? Holds::others : holds;
}

// Where fs.protected_hardlinks is 0 anybody may give a file that he can reach a second name, and one of ours that has
// two is refused. A directory that is not ours stays as it is, and so does one that cannot be changed.
//
// One that is empty is taken for ours, before anything is in it: so kubelet makes the folder of a hostPath volume
// (DirectoryOrCreate), 0755, and nothing tells that from one that was named by mistake. Nobody loses what is in it, a
// name for a service's state is meant for that service alone (initdb(1) and StateDirectory= of systemd close it too),
// and the log says so. Others could put nothing into it: else it has been refused (sys/own_files.hpp).
bool close_to_others(const sys::OwnDirectory& directory, Holds what) {
    struct stat status{};
    if (::fstat(directory.fd.value(), &status) != 0 || status.st_uid != ::geteuid()) return false;
    const bool is_open = (status.st_mode & S_IRWXO) != 0;
    if (!is_open || held_by(directory.path) != what) return false;
    return ::fchmod(directory.fd.value(), status.st_mode & 07777 & ~S_IRWXO) == 0;
}

// Of one that cannot be made. Without it two services could run at once.
Error with_hint(Error error) {
    constexpr std::array no_room{EROFS, ENOSPC, EDQUOT};
    if (std::ranges::find(no_room, error.code) != no_room.end())
        error.message += ". The first start needs a state directory that can be written, as long as it takes to make "
                         "this file";
    return error;
}

} // namespace

Result<StateLock> lock_state(const std::filesystem::path& state_dir, Nanoseconds patience) {
    const auto directory = sys::open_own_directory(state_dir);
    if (!directory) return with_context(directory.error(), "state directory");
    const bool has_closed = close_to_others(*directory, Holds::nothing);
    auto file = sys::open_own_file(*directory, lock_name, 0640);
    if (!file) return with_context(with_hint(file.error()), "lock");
    StateLock lock{.file = std::move(*file), .path = state_dir / lock_name, .boot = {}, .has_closed = has_closed};
    if (auto taken = take_lock(lock.file, lock.path, patience); !taken) return std::unexpected(taken.error());
    auto content = read_content(lock.file, lock.path);
    if (!content) return std::unexpected(content.error());
    lock.boot = std::move(content->boot);
    lock.has_closed |= close_to_others(*directory, Holds::ours_alone); // the lock is ours: so is the directory
    (void)write_content(lock, lock.boot.value_or(""));                 // only for others to be told who has it
    return lock;
}

Result<> note_boot(StateLock& lock, const std::string& boot_id) {
    if (lock.boot == boot_id) return {};
    if (auto written = write_content(lock, boot_id); !written) return written;
    lock.boot = boot_id;
    lock.is_boot_kept = false;
    return {};
}

// With its name, which may be as new.
Result<> keep_boot(StateLock& lock) {
    if (lock.is_boot_kept) return {};
    const std::filesystem::path directory = lock.path.parent_path();
    const sys::Fd folder(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!folder || ::fdatasync(lock.file.value()) != 0 || ::fsync(folder.value()) != 0)
        return system_failure(errno, "keep {}", lock.path.string());
    lock.is_boot_kept = true;
    return {};
}

} // namespace bpftune::service

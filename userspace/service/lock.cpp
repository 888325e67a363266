// SPDX-License-Identifier: Apache-2.0
#include "service/lock.hpp"

#include <string>
#include <string_view>
#include <thread>

#include <sys/file.h>
#include <unistd.h>

#include "core/parse.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/own_files.hpp"

namespace bpftune::service {
namespace {

constexpr Nanoseconds between_tries = std::chrono::milliseconds(20);
// A number and its newline are shorter.
constexpr std::size_t longest_lock = 32;

Result<> take_lock(const sys::Fd& file, const std::filesystem::path& path, Nanoseconds patience) {
    const MonoTime deadline = sys::now().mono + patience;
    while (::flock(file.value(), LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK && errno != EINTR) return system_failure(errno, "lock {}", path.string());
        if (sys::now().mono >= deadline) {
            const auto holder = sys::read_number(path);
            return failure("another instance{} holds {}; stop it first",
                           holder ? fmt::format(" (pid {})", *holder) : std::string(), path.string());
        }
        std::this_thread::sleep_for(between_tries);
    }
    return {};
}

bool is_pid(std::string_view text) {
    if (text.ends_with('\n')) text.remove_suffix(1);
    return parse_number(text).has_value();
}

// What is in a lock of ours: nothing as long as it is new, then who held it last.
Result<> check_content(const sys::Fd& file, const std::filesystem::path& path) {
    const auto text = sys::read_all(file, longest_lock);
    if (text && (text->empty() || is_pid(*text))) return {};
    if (!text && text.error().code != 0) return with_context(text.error(), "read {}", path.string());
    return failure("{} holds no process id, as a lock of ours does: move it away, or name another state directory",
                   path.string());
}

Result<> write_holder(const sys::Fd& file, const std::filesystem::path& path) {
    if (auto checked = check_content(file, path); !checked) return checked;
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file.value(), 0) != 0 || ::pwrite(file.value(), pid.data(), pid.size(), 0) < 0)
        return system_failure(errno, "write {}", path.string());
    return {};
}

} // namespace

Result<sys::Fd> lock_state(const std::filesystem::path& state_dir, Nanoseconds patience) {
    const auto directory = sys::open_own_directory(state_dir);
    if (!directory) return with_context(directory.error(), "state directory");
    auto file = sys::open_own_file(*directory, "lock", 0640);
    if (!file) return with_context(file.error(), "lock");
    const std::filesystem::path path = state_dir / "lock";
    if (auto taken = take_lock(*file, path, patience); !taken) return std::unexpected(taken.error());
    if (auto written = write_holder(*file, path); !written) return std::unexpected(written.error());
    return file;
}

} // namespace bpftune::service

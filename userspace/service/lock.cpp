// SPDX-License-Identifier: Apache-2.0
#include "service/lock.hpp"

#include <string>
#include <thread>

#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/own_files.hpp"

namespace bpftune::service {
namespace {

constexpr Nanoseconds between_tries = std::chrono::milliseconds(20);
// A number and its newline are shorter.
constexpr off_t longest_lock = 32;

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

Result<> write_holder(const sys::Fd& file, const std::filesystem::path& path) {
    struct stat status{};
    if (::fstat(file.value(), &status) != 0) return system_failure(errno, "look at {}", path.string());
    if (status.st_size > longest_lock)
        return failure("{} has {} bytes, which no lock of ours has: move it away, or name another state directory",
                       path.string(), status.st_size);
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

// SPDX-License-Identifier: Apache-2.0
#include "service/lock.hpp"

#include <string>
#include <thread>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace bpftune::service {
namespace {

constexpr Nanoseconds between_tries = std::chrono::milliseconds(20);

} // namespace

Result<sys::Fd> lock_state(const std::filesystem::path& state_dir, Nanoseconds patience) {
    std::error_code error;
    if (std::filesystem::create_directories(state_dir, error)) ::chmod(state_dir.c_str(), 0750);
    if (error) return failure("create {}: {}", state_dir.string(), error.message());
    const std::filesystem::path path = state_dir / "lock";
    sys::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0640));
    if (!file) return system_failure(errno, "open {}", path.string());

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
    const std::string pid = std::to_string(::getpid()) + "\n";
    if (::ftruncate(file.value(), 0) != 0 || ::pwrite(file.value(), pid.data(), pid.size(), 0) < 0)
        return system_failure(errno, "write {}", path.string());
    return file;
}

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
#include "sys/process.hpp"

#include <charconv>

#include <unistd.h>

#include "core/parse.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace bpftune::sys {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t largest_cgroups = std::size_t{64} << 10;

fs::path of(const fs::path& proc, pid_t pid) { return proc / std::to_string(pid); }

} // namespace

Result<std::string> cgroups_of(pid_t pid, const fs::path& proc) {
    return read_file(of(proc, pid) / "cgroup", largest_cgroups);
}

Result<pid_t> process_of(pid_t thread, const fs::path& proc) {
    constexpr std::string_view key = "\nTgid:\t"; // a name before it has no line end: the kernel escapes it
    const fs::path file = of(proc, thread) / "status";
    const auto status = read_file(file);
    if (!status) return std::unexpected(status.error());
    const std::size_t found = status->find(key);
    const std::size_t begin = found == std::string::npos ? status->size() : found + key.size();
    const auto process = parse_number(std::string_view(*status).substr(begin, status->find('\n', begin) - begin));
    if (!process) return failure("{} does not say whose thread it is", file.string());
    return static_cast<pid_t>(*process);
}

// The 22nd field. The command, the 2nd, may hold anything but is the last in parentheses.
std::optional<std::uint64_t> start_ticks(std::string_view stat) {
    constexpr int blanks_before = 20;
    const std::size_t command_end = stat.rfind(')');
    if (command_end == std::string_view::npos) return std::nullopt;
    stat.remove_prefix(command_end + 1);
    for (int i = 0; i < blanks_before; ++i) {
        const std::size_t blank = stat.find(' ');
        if (blank == std::string_view::npos) return std::nullopt;
        stat.remove_prefix(blank + 1);
    }
    std::uint64_t ticks = 0;
    const auto [end, error] = std::from_chars(stat.data(), stat.data() + stat.size(), ticks);
    return error == std::errc{} ? std::optional(ticks) : std::nullopt;
}

Result<MonoTime> start_of(pid_t pid, const fs::path& proc) {
    const fs::path file = of(proc, pid) / "stat";
    const auto stat = read_file(file);
    if (!stat) return std::unexpected(stat.error());
    const auto ticks = start_ticks(*stat);
    if (!ticks) return failure("{} does not say when it started", file.string());
    static const auto ticks_a_second = static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK));
    const Nanoseconds age =
        since_boot() - *ticks * (std::chrono::nanoseconds(std::chrono::seconds(1)) / ticks_a_second);
    return now().mono - age;
}

} // namespace bpftune::sys

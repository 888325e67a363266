// SPDX-License-Identifier: Apache-2.0
#include "sys/own_process.hpp"

#include <chrono>
#include <ctime>
#include <filesystem>
#include <sstream>
#include <string>
#include <system_error>

#include <sys/resource.h>
#include <unistd.h>

#include "core/parse.hpp"
#include "sys/clock.hpp"
#include "sys/files.hpp"

namespace bpftune::sys {
namespace {

constexpr int start_field = 22; // of /proc/PID/stat, from 1; the name is the second

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1'000'000;
}

// CLOCK_BOOTTIME and not the line btime of /proc/stat, which is long on machines of many CPUs.
std::optional<WallTime> read_start() {
    const auto stat = read_file("/proc/self/stat");
    const auto ticks = stat ? start_ticks(*stat) : std::nullopt;
    timespec since_boot{};
    if (!ticks || ::clock_gettime(CLOCK_BOOTTIME, &since_boot) != 0) return std::nullopt;
    const auto up = std::chrono::seconds(since_boot.tv_sec) + std::chrono::nanoseconds(since_boot.tv_nsec);
    const auto at = std::chrono::milliseconds(*ticks * 1000 / static_cast<std::uint64_t>(::sysconf(_SC_CLK_TCK)));
    return now().wall - std::chrono::duration_cast<WallTime::duration>(up - at);
}

void read_memory(ProcessUse& use) {
    const auto statm = read_file("/proc/self/statm"); // pages: all, resident
    std::uint64_t all = 0;
    std::uint64_t resident = 0;
    if (!statm || !(std::istringstream(*statm) >> all >> resident)) return;
    const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
    use.virtual_bytes = all * page;
    use.resident_bytes = resident * page;
}

std::optional<std::uint64_t> count_fds() {
    std::error_code error;
    std::filesystem::directory_iterator entry("/proc/self/fd", error);
    std::uint64_t count = 0;
    for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) ++count;
    return error || count == 0 ? std::nullopt : std::optional(count - 1); // without the one that reads the folder
}

} // namespace

std::optional<std::uint64_t> start_ticks(std::string_view stat) {
    const std::size_t name_end = stat.rfind(')');
    if (name_end == std::string_view::npos) return std::nullopt;
    std::istringstream fields{std::string(stat.substr(name_end + 1))};
    std::string field;
    for (int at = 3; at <= start_field; ++at)
        if (!(fields >> field)) return std::nullopt;
    const auto ticks = parse_number(field);
    return ticks ? std::optional(*ticks) : std::nullopt;
}

ProcessUse own_process() {
    static const std::optional<WallTime> started = read_start();
    ProcessUse use{.started = started};
    rusage usage{};
    if (::getrusage(RUSAGE_SELF, &usage) == 0) use.cpu_seconds = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    read_memory(use);
    use.open_fds = count_fds();
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) == 0) use.max_fds = limit.rlim_cur;
    return use;
}

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
#include "sys/own_process.hpp"

#include <cerrno>
#include <chrono>
#include <filesystem>
#include <sstream>
#include <system_error>
#include <utility>

#include <sys/resource.h>
#include <unistd.h>

#include "sys/clock.hpp"
#include "sys/files.hpp"
#include "sys/process.hpp"

namespace bpftune::sys {
namespace {

double seconds(const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1'000'000;
}

std::optional<WallTime> read_start() {
    const auto start = start_of(::getpid());
    if (!start) return std::nullopt;
    const Now time = now();
    return time.wall - std::chrono::duration_cast<WallTime::duration>(time.mono - *start);
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

Result<> take_descriptors(std::uint64_t needed) {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return system_failure(errno, "RLIMIT_NOFILE");
    if (limit.rlim_max < needed)
        return failure(
            "RLIMIT_NOFILE lets it have {} descriptors, and it needs {}: LimitNOFILE of its unit, or ulimit -n",
            limit.rlim_max, needed);
    const rlim_t before = std::exchange(limit.rlim_cur, limit.rlim_max);
    // Refused where fs.nr_open was set below the hard limit since (kernel/sys.c, do_prlimit).
    if (before != limit.rlim_max && ::setrlimit(RLIMIT_NOFILE, &limit) != 0 && before < needed)
        return system_failure(errno, "RLIMIT_NOFILE lets it have {} descriptors, and it needs {}", before, needed);
    return {};
}

} // namespace bpftune::sys

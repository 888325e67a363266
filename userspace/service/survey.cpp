// SPDX-License-Identifier: Apache-2.0
#include "service/survey.hpp"

#include <algorithm>
#include <array>

#include <fcntl.h>
#include <fmt/ranges.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "kube/pod_logs.hpp"
#include "service/set_by.hpp"
#include "sys/capabilities.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"
#include "sys/host_proc.hpp"
#include "sys/netns.hpp"
#include "sys/process.hpp"
#include "sys/sockets.hpp"
#include "sys/syscall_filter.hpp"
#include "sys/sysfs.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::service {
namespace {

namespace fs = std::filesystem;

struct Right {
    int capability;
    std::string_view name;
    std::string_view needed_for;
    bool to_write = false; // without it nothing is
};
constexpr std::array rights{
    Right{CAP_BPF, "CAP_BPF", "loading BPF programs; without it netlink and /proc are read"},
    Right{CAP_PERFMON, "CAP_PERFMON", "BPF programs that read kernel memory; the same"},
    Right{CAP_NET_ADMIN, "CAP_NET_ADMIN", "reading sockets, and writing sysctls of other namespaces", true},
    Right{CAP_SYS_ADMIN, "CAP_SYS_ADMIN", "entering network namespaces: to write, and to read where BPF cannot", true},
    Right{CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
          "finding the namespaces of processes: to write, and to read conntrack tables; fetching listening sockets",
          true},
    Right{CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "finding a listening socket that moved to another process"},
};

std::string read_only(std::string_view place) {
    return fmt::format("{} is mounted read-only here, as in a container: mount the node's /proc at {} as well", place,
                       sys::host_proc);
}

std::string why_no_sysctl(const tunables::Tunable& tunable, const fs::path& path) {
    if (::access(path.c_str(), W_OK) != 0) {
        if (errno == EROFS) return "mount: " + read_only("/proc/sys");
        return fmt::format("rights: {}: {}", path.string(), std::generic_category().message(errno));
    }
    if (!sys::has_capability(CAP_SYS_ADMIN)) return "rights: CAP_SYS_ADMIN is needed to enter network namespaces";
    if (tunable.kind != tunables::Kind::host_sysctl) return {};
    const auto init = sys::init_netns();
    return init ? std::string() : "rights: " + init.error().message;
}

std::string why_no_socket(const fs::path& root) {
    if (!sys::has_capability(CAP_SYS_PTRACE))
        return "rights: CAP_SYS_PTRACE is needed to fetch a socket of another process";
    const auto yama = sys::read_number(root / "proc/sys/kernel/yama/ptrace_scope");
    if (yama && *yama >= 3) return "kernel: kernel.yama.ptrace_scope is 3: not even root may fetch a socket";
    const sys::Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const sys::Fd probe(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const sys::Fd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, self.value(), probe.value(), 0)));
    if (copy) return {};
    return fmt::format("{}: pidfd_getfd: {}", errno == ENOSYS ? "kernel" : "rights",
                       std::generic_category().message(errno));
}

std::string why_no_queue(const fs::path& root) {
    if (!sys::has_capability(CAP_SYS_ADMIN))
        return "rights: CAP_SYS_ADMIN is needed to mount the sysfs of a network namespace";
    if (root != "/") return {};
    const auto sysfs = sys::mount_sysfs();
    return sysfs ? std::string() : "rights: " + sysfs.error().message;
}

std::string why_no_interrupt(const fs::path& file, const fs::path& root) {
    if (::access(file.c_str(), W_OK) == 0) return why_no_queue(root);
    if (errno == EROFS) return "mount: " + read_only("/proc/irq");
    return fmt::format("rights: {}: {}", file.string(), std::generic_category().message(errno));
}

TunableReport survey(const tunables::Tunable& tunable, const fs::path& root) {
    TunableReport report{.name = std::string(tunable.name)};
    if (is_of_socket(tunable.id)) {
        report.present = true;
        report.reason = why_no_socket(root);
        if (report.reason.empty() && tunable.kind == tunables::Kind::udp_buffer && !sys::tells_who_set_buffers())
            report.reason = "kernel: no SO_BUF_LOCK (5.14), without which a raise could not be put back whole";
    } else if (tunable.kind == tunables::Kind::rx_queue) {
        std::error_code ignored; // that of loopback, which every namespace has
        report.present = fs::exists(root / "sys/class/net/lo/queues/rx-0" / tunable.name, ignored);
        report.reason = report.present ? why_no_queue(root) : "kernel: it is built without RPS (CONFIG_RPS)";
    } else if (tunable.kind == tunables::Kind::interrupt) {
        std::error_code ignored; // what new interrupts begin with
        const fs::path file = root / fmt::format("proc/irq/default_{}", tunable.name);
        report.present = fs::exists(file, ignored);
        report.reason =
            report.present ? why_no_interrupt(file, root) : fmt::format("kernel: {} is not there", file.string());
    } else {
        const fs::path path = root / "proc/sys" / tunable.path;
        std::error_code ignored;
        report.present = fs::exists(path, ignored);
        report.reason =
            report.present ? why_no_sysctl(tunable, path) : fmt::format("kernel: {} is not there", path.string());
    }
    report.writable = report.reason.empty();
    return report;
}

} // namespace

std::vector<PodsStep> survey_pods(const Result<>& runtime, const fs::path& root) {
    constexpr pid_t first_process = 1;
    const auto logs = kube::check_pod_logs(root / fs::path(kube::pod_logs_folder).relative_path());
    const auto cgroups = sys::cgroups_of(first_process, root / "proc");
    const auto reason = [](const auto& result) { return result ? std::string() : result.error().message; };
    std::vector<PodsStep> steps{{PodSource::runtime, false, reason(runtime)},
                                {PodSource::logs, false, reason(logs)},
                                {PodSource::cgroup, false, reason(cgroups)}};
    // Whose a process is, its cgroup tells on all of them.
    if (!cgroups)
        for (PodsStep& step : steps) step.reason = steps[2].reason;
    const auto best = std::ranges::find(steps, std::string(), &PodsStep::reason);
    if (best != steps.end()) best->taken = true;
    for (auto lower = best; lower != steps.end(); ++lower)
        if (lower != best && lower->reason.empty()) lower->reason = "a better one is taken";
    return steps;
}

std::vector<TunableReport> survey_tunables(const fs::path& root) {
    const SetBy set_by(root);
    std::vector<TunableReport> reports;
    for (const tunables::Tunable& tunable : tunables::catalog()) {
        reports.push_back(survey(tunable, root));
        reports.back().set_by = set_by.of(tunable);
    }
    return reports;
}

std::vector<RightReport> survey_rights() {
    std::vector<RightReport> reports;
    reports.reserve(rights.size() + 1);
    for (const Right& right : rights)
        reports.push_back(
            {std::string(right.name), sys::has_capability(right.capability), std::string(right.needed_for)});
    reports.push_back(
        {"seccomp", sys::can_restrict_syscalls(), "keeping both processes to the system calls they need"});
    return reports;
}

std::string missing_to_write() {
    std::vector<std::string> missing;
    for (const Right& right : rights)
        if (right.to_write && !sys::has_capability(right.capability)) missing.emplace_back(right.name);
    if (sys::is_read_only("/proc/sys/net"))
        missing.push_back(fmt::format("a /proc/sys that can be written ({})", read_only("it")));
    return fmt::format("{}", fmt::join(missing, ", "));
}

std::string what_to_grant() {
    const auto held = [](const Right& right) { return sys::has_capability(right.capability); };
    if (std::ranges::any_of(rights, held)) return {};
    return "run it as root, or grant CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_PTRACE to see, and CAP_SYS_ADMIN "
           "and CAP_DAC_READ_SEARCH as well to change";
}

} // namespace bpftune::service

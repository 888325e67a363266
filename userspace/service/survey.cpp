// SPDX-License-Identifier: Apache-2.0
#include "service/survey.hpp"

#include <algorithm>
#include <array>
#include <map>

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "core/text.hpp"
#include "sys/capabilities.hpp"
#include "sys/directory.hpp"
#include "sys/fd.hpp"
#include "sys/files.hpp"
#include "sys/netns.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::service {
namespace {

namespace fs = std::filesystem;

// sysctl.d(5), in the order of precedence.
constexpr std::array sysctl_folders{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d"};

// Programs that are known to write our tunables while they run.
struct Agent {
    std::string_view command;
    std::string_view tunable;
};
constexpr std::array agents{Agent{"kube-proxy", "net.netfilter.nf_conntrack_max"}, Agent{"tuned", "net.core.somaxconn"},
                            Agent{"tuned", "net.netfilter.nf_conntrack_max"}, Agent{"bpftune", "net.core.somaxconn"}};

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

std::string_view trimmed(std::string_view text) {
    constexpr std::string_view blanks = " \t\r";
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

std::vector<fs::path> sysctl_files(const fs::path& root) {
    std::vector<fs::path> files{root / "etc/sysctl.conf"};
    for (const char* folder : sysctl_folders) {
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(root / folder, error))
            if (entry.path().extension() == ".conf") files.push_back(entry.path());
    }
    std::ranges::sort(files);
    return files;
}

// Commands of the running processes, with their lowest pid.
std::map<std::string, int> running(const fs::path& root) {
    std::map<std::string, int> commands;
    const auto pids = sys::numbered_entries(root / "proc");
    if (!pids) return commands;
    for (const int pid : *pids)
        if (const auto comm = sys::read_file(root / "proc" / std::to_string(pid) / "comm"))
            commands.try_emplace(comm->substr(0, comm->find('\n')), pid);
    return commands;
}

std::string why_no_sysctl(const tunables::Tunable& tunable, const fs::path& path) {
    if (::access(path.c_str(), W_OK) != 0)
        return fmt::format("{}: {}", path.string(), std::generic_category().message(errno));
    if (!sys::has_capability(CAP_SYS_ADMIN)) return "CAP_SYS_ADMIN is needed to enter network namespaces";
    if (tunable.kind != tunables::Kind::host_sysctl) return {};
    const auto init = sys::init_netns();
    return init ? std::string() : init.error().message;
}

std::string why_no_listener(const fs::path& root) {
    if (!sys::has_capability(CAP_SYS_PTRACE)) return "CAP_SYS_PTRACE is needed to fetch a listening socket";
    const auto yama = sys::read_number(root / "proc/sys/kernel/yama/ptrace_scope");
    if (yama && *yama >= 3) return "kernel.yama.ptrace_scope is 3: not even root may fetch a socket";
    const sys::Fd self(static_cast<int>(::syscall(SYS_pidfd_open, ::getpid(), 0)));
    const sys::Fd probe(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    const sys::Fd copy(static_cast<int>(::syscall(SYS_pidfd_getfd, self.value(), probe.value(), 0)));
    if (!copy) return fmt::format("pidfd_getfd: {}", std::generic_category().message(errno));
    return {};
}

TunableReport survey(const tunables::Tunable& tunable, const fs::path& root) {
    TunableReport report{.name = std::string(tunable.name)};
    if (tunable.kind == tunables::Kind::listener) {
        report.present = true;
        report.reason = why_no_listener(root);
    } else {
        const fs::path path = root / "proc/sys" / tunable.path;
        std::error_code ignored;
        report.present = fs::exists(path, ignored);
        report.reason = report.present ? why_no_sysctl(tunable, path) : fmt::format("{} is not there", path.string());
    }
    report.writable = report.reason.empty();
    return report;
}

} // namespace

std::vector<std::string> settings_of(std::string_view name, std::string_view file, std::string_view text) {
    std::vector<std::string> found;
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (line.starts_with('-')) line.remove_prefix(1); // "-key = value": errors are ignored
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) continue;
        std::string key(trimmed(line.substr(0, equals)));
        std::ranges::replace(key, '/', '.');
        if (key != name) continue;
        found.push_back(fmt::format("{}:{}: {}", printable(file), number, printable(trimmed(line.substr(equals + 1)))));
    }
    return found;
}

std::vector<TunableReport> survey_tunables(const fs::path& root) {
    std::vector<std::pair<std::string, std::string>> texts;
    for (const fs::path& file : sysctl_files(root))
        if (auto text = sys::read_file(file)) texts.emplace_back(file.string(), std::move(*text));
    const auto commands = running(root);
    std::vector<TunableReport> reports;
    for (const tunables::Tunable& tunable : tunables::catalog()) {
        TunableReport report = survey(tunable, root);
        for (const auto& [file, text] : texts)
            std::ranges::copy(settings_of(tunable.name, file, text), std::back_inserter(report.set_by));
        for (const Agent& agent : agents)
            if (const auto found = commands.find(std::string(agent.command));
                agent.tunable == tunable.name && found != commands.end())
                report.set_by.push_back(fmt::format("{} (pid {})", agent.command, found->second));
        reports.push_back(std::move(report));
    }
    return reports;
}

std::vector<RightReport> survey_rights() {
    std::vector<RightReport> reports;
    reports.reserve(rights.size());
    for (const Right& right : rights)
        reports.push_back(
            {std::string(right.name), sys::has_capability(right.capability), std::string(right.needed_for)});
    return reports;
}

std::string missing_to_write() {
    std::string names;
    for (const Right& right : rights)
        if (right.to_write && !sys::has_capability(right.capability))
            names += fmt::format("{}{}", names.empty() ? "" : ", ", right.name);
    return names;
}

std::string what_to_grant() {
    const auto held = [](const Right& right) { return sys::has_capability(right.capability); };
    if (std::ranges::any_of(rights, held)) return {};
    return "run it as root, or grant CAP_BPF, CAP_PERFMON, CAP_NET_ADMIN and CAP_SYS_PTRACE to see, and CAP_SYS_ADMIN "
           "and CAP_DAC_READ_SEARCH as well to change";
}

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
#include "service/set_by.hpp"

#include <algorithm>
#include <array>
#include <functional>
#include <span>
#include <utility>

#include <fmt/format.h>
#include <fnmatch.h>

#include "core/sysctl_name.hpp"
#include "core/text.hpp"
#include "sys/directory.hpp"
#include "sys/files.hpp"

namespace bpftune::service {
namespace {

namespace fs = std::filesystem;

// A file hides those of the same name in the folders behind its own (sysctl.d(5), modprobe.d(5)).
constexpr std::array sysctl_folders{"etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d",
                                    "lib/sysctl.d"};
constexpr std::array modprobe_folders{"etc/modprobe.d", "run/modprobe.d", "usr/local/lib/modprobe.d",
                                      "usr/lib/modprobe.d", "lib/modprobe.d"};

// Programs that are known to write our tunables while they run, by the name of their process. kube-proxy is a part of
// k3s, of rke2 and of MicroK8s' kubelite.
struct Agent {
    std::string_view command;
    std::string_view tunable;
};
constexpr std::array agents{Agent{"kube-proxy", "net.netfilter.nf_conntrack_max"},
                            Agent{"k3s", "net.netfilter.nf_conntrack_max"},
                            Agent{"k3s-server", "net.netfilter.nf_conntrack_max"},
                            Agent{"k3s-agent", "net.netfilter.nf_conntrack_max"},
                            Agent{"rke2", "net.netfilter.nf_conntrack_max"},
                            Agent{"kubelite", "net.netfilter.nf_conntrack_max"},
                            Agent{"tuned", "net.core.somaxconn"},
                            Agent{"tuned", "net.netfilter.nf_conntrack_max"},
                            Agent{"bpftune", "net.core.somaxconn"}};

constexpr std::string_view blanks = " \t\r";

std::string_view trimmed(std::string_view text) {
    const std::size_t first = text.find_first_not_of(blanks);
    if (first == std::string_view::npos) return {};
    return text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// Calls `take(number, line)` for each line that is neither empty nor a comment.
void for_each_line(std::string_view text, const std::function<void(std::size_t, std::string_view)>& take) {
    for (std::size_t number = 1; !text.empty(); ++number) {
        const std::size_t end = std::min(text.find('\n'), text.size());
        const std::string_view line = trimmed(text.substr(0, end));
        text.remove_prefix(std::min(end + 1, text.size()));
        if (!line.empty() && line.front() != '#' && line.front() != ';') take(number, line);
    }
}

// With lines that end in a backslash and their next ones as one, and all others where they were.
std::string joined(std::string_view text) {
    std::string lines;
    std::size_t moved = 0;
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text.substr(i, 2) == "\\\n") {
            lines += ' ';
            ++moved;
            ++i;
        } else if (text[i] == '\n') {
            lines.append(std::exchange(moved, 0) + 1, '\n');
        } else {
            lines += text[i];
        }
    }
    return lines;
}

std::vector<std::string_view> words_of(std::string_view text) {
    std::vector<std::string_view> words;
    while (!(text = trimmed(text)).empty()) {
        const std::size_t end = std::min(text.find_first_of(blanks), text.size());
        words.push_back(text.substr(0, end));
        text.remove_prefix(end);
    }
    return words;
}

bool sets(std::string_view pattern, std::string_view path) {
    return !path.empty() && ::fnmatch(std::string(pattern).c_str(), std::string(path).c_str(), FNM_PATHNAME) == 0;
}

bool has_wildcard(std::string_view path) { return path.find_first_of("*?[") != std::string_view::npos; }

// A link to /dev/null is how a file of the distribution is switched off.
bool says_nothing(const fs::path& file) {
    std::error_code error;
    const fs::path real = fs::weakly_canonical(file, error);
    return real == "/dev/null" || (fs::is_regular_file(file, error) && fs::file_size(file, error) == 0);
}

struct ConfigFile {
    fs::path path;
    std::string hindered_by;
};

// In the order in which they are applied: by name, whatever the folder. The first folder is the strongest.
std::vector<ConfigFile> files_in(const fs::path& root, std::span<const char* const> folders) {
    std::map<std::string, std::vector<fs::path>> by_name;
    std::vector<fs::path> seen; // /lib is mostly a link to /usr/lib
    for (const char* folder : folders) {
        std::error_code error;
        const fs::path real = fs::weakly_canonical(root / folder, error);
        if (std::ranges::find(seen, real) != seen.end()) continue;
        seen.push_back(real);
        for (const auto& entry : fs::directory_iterator(root / folder, error))
            if (entry.path().extension() == ".conf") by_name[entry.path().filename().string()].push_back(entry.path());
    }
    std::vector<ConfigFile> files;
    for (const auto& [name, paths] : by_name) {
        const fs::path& strongest = paths.front();
        files.push_back({strongest, {}});
        for (const fs::path& hidden : std::span(paths).subspan(1))
            files.push_back({hidden, fmt::format("{} by {}", says_nothing(strongest) ? "masked" : "overridden",
                                                 printable(strongest.string()))});
    }
    return files;
}

} // namespace

SetBy::SetBy(const fs::path& root) {
    read_sysctls(root);
    read_module_options(root);
    read_command_line(root);
    read_commands(root);
}

void SetBy::read_sysctls(const fs::path& root) {
    std::error_code error;
    const fs::path legacy = fs::weakly_canonical(root / "etc/sysctl.conf", error);
    bool is_linked = false; // as Debian's 99-sysctl.conf
    for (const ConfigFile& file : files_in(root, sysctl_folders)) {
        is_linked |= fs::weakly_canonical(file.path, error) == legacy;
        read_sysctl_file(file.path, file.hindered_by);
    }
    if (!is_linked) read_sysctl_file(root / "etc/sysctl.conf", {});
}

// "-key = value": errors are ignored. "-key": patterns do not mean it.
void SetBy::read_sysctl_file(const fs::path& file, const std::string& hindered_by) {
    const auto text = sys::read_file(file);
    if (!text) return;
    for_each_line(*text, [&](std::size_t number, std::string_view line) {
        const bool has_dash = line.front() == '-';
        if (has_dash) line.remove_prefix(1);
        const std::size_t equals = line.find('=');
        if (equals == std::string_view::npos) {
            if (has_dash && hindered_by.empty()) excluded_.insert(path_of_sysctl(trimmed(line)));
            return;
        }
        const std::string_view key = trimmed(line.substr(0, equals));
        sysctls_.push_back({fmt::format("{}:{}", printable(file.string()), number), printable(key), path_of_sysctl(key),
                            printable(trimmed(line.substr(equals + 1))), hindered_by});
    });
}

void SetBy::read_module_options(const fs::path& root) {
    for (const ConfigFile& file : files_in(root, modprobe_folders)) read_modprobe_file(file.path, file.hindered_by);
}

// "options MODULE OPTION=VALUE...", where - and _ are the same in a module's name.
void SetBy::read_modprobe_file(const fs::path& file, const std::string& hindered_by) {
    const auto text = sys::read_file(file);
    if (!text) return;
    for_each_line(joined(*text), [&](std::size_t number, std::string_view line) {
        const auto words = words_of(line);
        if (words.size() < 3 || words[0] != "options") return;
        std::string module(words[1]);
        std::ranges::replace(module, '-', '_');
        for (const std::string_view word : std::span(words).subspan(2)) {
            const std::size_t equals = std::min(word.find('='), word.size());
            module_options_.push_back({fmt::format("{}:{}", printable(file.string()), number),
                                       printable(word),
                                       fmt::format("{}.{}", module, word.substr(0, equals)),
                                       {},
                                       hindered_by});
        }
    });
}

// The kernel takes - and _ of a parameter's name for the same (kernel/params.c), and sysctls as sysctl.NAME=VALUE
// (fs/proc/proc_sysctl.c, do_sysctl_args).
void SetBy::read_command_line(const fs::path& root) {
    constexpr std::string_view place = "kernel command line", sysctl = "sysctl.";
    std::ptrdiff_t first = 0;
    const auto text = sys::read_file(root / "proc/cmdline");
    if (!text) return;
    for (const std::string_view word : words_of(std::string_view(*text).substr(0, text->find('\n')))) {
        const std::size_t equals = word.find('=');
        if (equals == std::string_view::npos) continue;
        if (word.starts_with(sysctl)) {
            const std::string_view key = word.substr(sysctl.size(), equals - sysctl.size());
            sysctls_.insert(
                sysctls_.begin() + first++, // before any file is read
                {std::string(place), printable(key), path_of_sysctl(key), printable(word.substr(equals + 1)), {}});
            continue;
        }
        std::string option(word.substr(0, equals));
        std::ranges::replace(option, '-', '_');
        module_options_.push_back({std::string(place), printable(word), std::move(option), {}, {}});
    }
}

void SetBy::read_commands(const fs::path& root) {
    const auto pids = sys::numbered_entries(root / "proc");
    if (!pids) return;
    for (const int pid : *pids)
        if (const auto comm = sys::read_file(root / "proc" / std::to_string(pid) / "comm"))
            commands_.try_emplace(comm->substr(0, comm->find('\n')), pid);
}

bool SetBy::means(const Assignment& each, std::string_view path) const {
    return sets(each.path, path) && !(has_wildcard(each.path) && excluded_.contains(std::string(path)));
}

// Of several the last one counts; one with wildcards only where no other names the value.
std::vector<std::string> SetBy::of_sysctl(std::string_view path, std::string_view alias) const {
    std::vector<std::string> found;
    std::vector<const Assignment*> applied;
    const Assignment* last = nullptr;
    for (const Assignment& each : sysctls_) {
        if (!means(each, path) && !means(each, alias)) continue;
        applied.push_back(&each);
        const bool is_weaker = last != nullptr && has_wildcard(each.path) && !has_wildcard(last->path);
        if (each.hindered_by.empty() && !is_weaker) last = &each;
    }
    for (const Assignment* each : applied) {
        std::string notes = each->path == path ? std::string() : "as " + each->key;
        const std::string hindered_by = !each->hindered_by.empty() || each == last
                                            ? each->hindered_by
                                            : fmt::format("overridden by {}", last->place);
        if (!hindered_by.empty()) notes += (notes.empty() ? "" : ", ") + hindered_by;
        found.push_back(fmt::format("{}: {}{}", each->place, each->value, notes.empty() ? "" : " (" + notes + ")"));
    }
    return found;
}

std::vector<std::string> SetBy::of(const tunables::Tunable& tunable) const {
    std::vector<std::string> found = of_sysctl(tunable.path, tunable.alias);
    for (const Assignment& each : module_options_) {
        if (tunable.module_option.empty() || each.path != tunable.module_option) continue;
        const std::string_view module = tunable.module_option.substr(0, tunable.module_option.find('.'));
        found.push_back(fmt::format("{}: {} (when {} is loaded{})", each.place, each.key, module,
                                    each.hindered_by.empty() ? "" : ", " + each.hindered_by));
    }
    for (const Agent& agent : agents)
        if (const auto running = commands_.find(std::string(agent.command));
            agent.tunable == tunable.name && running != commands_.end())
            found.push_back(fmt::format("{} (pid {})", agent.command, running->second));
    return found;
}

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// Who else sets a tunable: files that are applied at boot, and programs that write it while they run. For `doctor`.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tunables/catalog.hpp"

namespace bpftune::service {

class SetBy {
public:
    // Reads all that may set one: sysctl.d(5), sysctl.conf, modprobe.d(5), /proc/cmdline, the commands of processes.
    // What cannot be read sets nothing.
    explicit SetBy(const std::filesystem::path& root);

    // In the order in which they are applied, the programs last: "/etc/sysctl.d/99-node.conf:3: 65535",
    // "/etc/modprobe.d/nf.conf:1: hashsize=16384 (when nf_conntrack is loaded)", "kube-proxy (pid 812)". In
    // parentheses: by which other name it sets the value, and what keeps it from doing so.
    [[nodiscard]] std::vector<std::string> of(const tunables::Tunable& tunable) const;

    // The same of any sysctl, by its path below /proc/sys and another one of the same value (empty: none); no programs.
    [[nodiscard]] std::vector<std::string> of_sysctl(std::string_view path, std::string_view alias) const;

private:
    struct Assignment {
        std::string place; // "/etc/sysctl.d/99-node.conf:3"
        std::string key;   // as written
        std::string path;  // of a sysctl below /proc/sys, which may have wildcards; of a module option MODULE.OPTION
        std::string value;
        std::string hindered_by; // what keeps it from being applied; empty: nothing
    };

    void read_sysctls(const std::filesystem::path& root);
    void read_sysctl_file(const std::filesystem::path& file, const std::string& hindered_by);
    void read_module_options(const std::filesystem::path& root);
    void read_modprobe_file(const std::filesystem::path& file, const std::string& hindered_by);
    void read_command_line(const std::filesystem::path& root);
    void read_commands(const std::filesystem::path& root);
    [[nodiscard]] bool means(const Assignment& each, std::string_view path) const;

    std::vector<Assignment> sysctls_;
    std::set<std::string> excluded_; // of patterns
    std::vector<Assignment> module_options_;
    std::map<std::string, int> commands_; // of running processes, with their lowest pid
};

} // namespace bpftune::service

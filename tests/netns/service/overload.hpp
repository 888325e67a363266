// SPDX-License-Identifier: Apache-2.0
// What keeps a CPU of the node busy with packets, and a policy that is about the node.
#pragma once

#include <fstream>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include <csignal>
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include "netns/service/fixtures.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::testing {

// Of the node alone, and of nothing else that it has.
inline std::string node_policy(const std::set<std::string_view>& tuned) {
    std::string text = "apiVersion: bpftune-k8s.io/v1alpha1\nkind: NodeTuningPolicy\nmetadata: {name: node}\n"
                       "spec:\n  mode: auto\n  tunables:\n";
    for (const auto& row : tunables::catalog())
        text += fmt::format("    {}: {{mode: {}}}\n", row.name, tuned.contains(row.name) ? "auto" : "observe");
    return text;
}

// Each packet is held against them: a thousand take some 10 us. `nft`: the command, in the namespace.
inline void add_rules(const std::string& nft, int count) {
    std::string rules = "table ip t {\nchain c {\ntype filter hook prerouting priority 0; policy accept;\n";
    for (int i = 0; i < count; ++i)
        rules += fmt::format("ip saddr 192.0.2.{} udp dport {} drop\n", i % 250, i % 60000 + 1000);
    const TemporaryDirectory folder;
    std::ofstream(folder / "rules") << rules << "}\n}\n";
    shell(fmt::format("{} -f {}", nft, (folder / "rules").string()));
}

inline void add_rules(const Namespace& netns, int count) { add_rules("ip netns exec " + netns.name() + " nft", count); }

inline void stay_on(unsigned cpu) {
    cpu_set_t one;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    ::sched_setaffinity(0, sizeof one, &one);
}

// What another process does on one CPU, for a minute and a half at most.
class Load {
public:
    template <class Work> Load(unsigned cpu, Work work) {
        pid_ = ::fork();
        if (pid_ != 0) return;
        stay_on(cpu);
        ::alarm(90);
        work();
        ::_exit(0);
    }
    Load(const Load&) = delete;
    Load& operator=(const Load&) = delete;
    ~Load() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

private:
    pid_t pid_ = -1;
};

inline unsigned last_cpu() { return std::thread::hardware_concurrency() - 1; }

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// What the verifier of this kernel needs for each BPF program, loaded just as the service loads it. One line each:
// OBJECT PROGRAM INSTRUCTIONS STACK, where STACK is "32+8" for a program with a function of its own.
#include <cstdlib>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <bpf/libbpf.h>
#include <fmt/format.h>

#include "probes/probes.hpp"

namespace {

constexpr __u32 log_statistics = 4; // BPF_LOG_STATS of the kernel
constexpr std::size_t log_size = 4096;

struct Cost {
    std::string instructions;
    std::string stack;
};

// By object and program: the last that loaded counts, for a rung may be tried in several ways.
std::map<std::pair<std::string, std::string>, Cost> costs;

// "stack depth 32+8\nprocessed 1234 insns (limit 1000000) ..."
std::string word_after(const std::string& log, const std::string& mark) {
    const std::size_t at = log.rfind(mark);
    if (at == std::string::npos) return "?";
    const std::size_t start = at + mark.size();
    return log.substr(start, log.find_first_of(" \n", start) - start);
}

} // namespace

// The linker puts this in the place of libbpf's (--wrap), so that the product needs no hook for it.
// NOLINTBEGIN(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)
extern "C" int __real_bpf_object__load_skeleton(bpf_object_skeleton* skeleton);
extern "C" int __wrap_bpf_object__load_skeleton(bpf_object_skeleton* skeleton);

int __wrap_bpf_object__load_skeleton(bpf_object_skeleton* skeleton) {
    std::map<bpf_program*, std::vector<char>> logs;
    bpf_program* program = nullptr;
    bpf_object__for_each_program(program, *skeleton->obj) {
        if (!bpf_program__autoload(program)) continue;
        std::vector<char>& log = logs[program];
        log.resize(log_size);
        bpf_program__set_log_level(program, log_statistics);
        bpf_program__set_log_buf(program, log.data(), log.size());
    }
    const int error = __real_bpf_object__load_skeleton(skeleton);
    if (error != 0) return error;
    for (const auto& [loaded, log] : logs) {
        const std::string text(log.data());
        costs[{skeleton->name, bpf_program__name(loaded)}] = {word_after(text, "processed "),
                                                              word_after(text, "stack depth ")};
        bpf_program__set_log_buf(loaded, nullptr, 0);
    }
    return 0;
}
// NOLINTEND(bugprone-reserved-identifier,cert-dcl37-c,cert-dcl51-cpp)

int main() {
    using namespace bpftune;
    // The lower rungs first, where they are to be had: what each loads too is counted as the best loads it.
    (void)probes::Probes::open({.rungs = {{Probe::listen, Rung::tracepoint}}});
    auto best = probes::Probes::open({});
    (void)best.nudge(Nudge::buffers);
    for (const auto& [name, cost] : costs)
        fmt::print("{} {} {} {}\n", name.first, name.second, cost.instructions, cost.stack);
    return EXIT_SUCCESS;
}

// SPDX-License-Identifier: Apache-2.0
// What each BPF program of this process has cost, by the kernel's own count; it counts while somebody holds a
// descriptor of bpf_enable_stats().
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>

#include <bpf/bpf.h>
#include <linux/bpf.h>

namespace bpftune::testing {

struct ProgramCost {
    std::string name;
    std::uint64_t nanoseconds = 0;
    std::uint64_t runs = 0;
};

using ProgramCosts = std::map<__u32, ProgramCost>; // by id

// Of those that this process holds: others load the same ones at any moment.
inline ProgramCosts program_costs() {
    ProgramCosts found;
    for (const auto& held : std::filesystem::directory_iterator("/proc/self/fd")) {
        bpf_prog_info info{};
        __u32 size = sizeof info;
        const bool is_program = held.is_symlink() && read_symlink(held.path()) == "anon_inode:bpf-prog";
        if (is_program && bpf_obj_get_info_by_fd(std::stoi(held.path().filename()), &info, &size) == 0)
            found[info.id] = {.name = info.name, .nanoseconds = info.run_time_ns, .runs = info.run_cnt};
    }
    return found;
}

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// What each BPF program of this machine has cost, by the kernel's own count; it counts while somebody holds a
// descriptor of bpf_enable_stats().
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include <bpf/bpf.h>
#include <linux/bpf.h>

#include "sys/fd.hpp"

namespace bpftune::testing {

struct ProgramCost {
    std::string name;
    std::uint64_t nanoseconds = 0;
    std::uint64_t runs = 0;
};

using ProgramCosts = std::map<__u32, ProgramCost>; // by id

inline ProgramCosts program_costs() {
    ProgramCosts found;
    for (__u32 id = 0; bpf_prog_get_next_id(id, &id) == 0;) {
        const sys::Fd program(bpf_prog_get_fd_by_id(id));
        bpf_prog_info info{};
        __u32 size = sizeof info;
        if (program && bpf_obj_get_info_by_fd(program.value(), &info, &size) == 0)
            found[id] = {.name = info.name, .nanoseconds = info.run_time_ns, .runs = info.run_cnt};
    }
    return found;
}

} // namespace bpftune::testing

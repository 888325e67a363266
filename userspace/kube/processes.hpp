// SPDX-License-Identifier: Apache-2.0
// What is asked of processes to know whose they are, so that tests may answer in the system's place.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "core/time.hpp"
#include "kube/cgroup_path.hpp"
#include "sys/process_links.hpp"

namespace bpftune::kube {

class Processes {
public:
    Processes() = default;
    Processes(const Processes&) = delete;
    Processes& operator=(const Processes&) = delete;
    virtual ~Processes() = default;

    // nullopt: it has gone, is closed to us, or could not be looked at just now.
    virtual std::optional<CgroupOwner> owner(int pid) = 0;
    virtual std::optional<MonoTime> started(int pid) = 0;
    virtual std::optional<int> process_of(int thread) = 0; // its first thread's number
    virtual std::optional<std::uint32_t> netns_inode(int pid) = 0;
    // Which of these it holds, in their order. True as well where its descriptors are closed to us; false where they
    // could not be looked at just now.
    struct Descriptor {
        int fd = -1;
        std::uint64_t inode = 0; // of the socket that it should be
    };
    virtual std::vector<bool> may_hold(int pid, std::span<const Descriptor> sockets) = 0;
};

// `looks`: by whoever may see their namespaces and sockets.
std::unique_ptr<Processes> processes_of(sys::ProcessLooks looks = sys::own_looks(),
                                        std::filesystem::path proc = "/proc");

} // namespace bpftune::kube

// SPDX-License-Identifier: Apache-2.0
// Which process holds a socket, where the kernel tells only its inode: /proc/PID/fd of every process, looked through
// once for what is new, and a bounded part of it at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "probes/readings.hpp"

namespace bpftune::probes {

class Holders {
public:
    explicit Holders(std::filesystem::path proc) : proc_(std::move(proc)) {}

    // Sets pid, fd and command of all whose holder is found: the lowest process that held it when it was looked for,
    // process 1 last, which keeps what it opened for others: where it is the only one, another is looked for again and
    // again.
    // `listeners` is all there are: others are forgotten.
    void name(std::span<ListenerReading> listeners);

private:
    struct Holder {
        int pid = 0;
        int fd = -1;
        int fd_of_init = -1; // -1: process 1 does not hold it
    };

    bool still_holds(std::uint64_t inode, const Holder& holder) const;
    bool is_kept_by_init(std::uint64_t inode, const Holder& holder) const;
    void note(int pid, int fd, std::uint64_t inode);
    void look_for(std::set<std::uint64_t> inodes);
    std::size_t look_through(int pid);

    std::filesystem::path proc_;
    std::map<std::uint64_t, Holder> known_;
    std::set<std::uint64_t> wanted_;  // by the pass that is under way
    std::vector<int> remaining_;      // processes that it has still to look through, the lowest last
    std::set<std::uint64_t> nowhere_; // what whole passes did not find: the kernel's own, or hidden from us
    unsigned calls_ = 0;
};

} // namespace bpftune::probes

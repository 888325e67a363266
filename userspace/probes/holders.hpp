// SPDX-License-Identifier: Apache-2.0
// Which process holds a socket, where the kernel tells only its inode: /proc/PID/fd of every process, looked through
// once for what is new, and a bounded part of it at a time, with a bounded number of questions to whoever looks.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "probes/readings.hpp"
#include "sys/process_links.hpp"

namespace bpftune::probes {

class Holders {
public:
    Holders(std::filesystem::path proc, sys::ProcessLooks looks) : proc_(std::move(proc)), looks_(std::move(looks)) {}

    // Sets pid, fd and command of all whose holder is found: the lowest process that held it when it was looked for,
    // process 1 last, which keeps what it opened for others: where it is the only one, another is looked for again and
    // again.
    // `listeners` is all there are: others are forgotten. A look that fails concludes nothing: who held it still does.
    void name(std::span<ListenerReading> listeners);

private:
    struct Holder {
        int pid = 0;
        int fd = -1;
        int fd_of_init = -1; // -1: process 1 does not hold it
    };

    void look_at_known(std::span<const ListenerReading> listeners);
    bool holds(int pid, int fd, std::uint64_t inode) const;
    bool is_kept_by_init(std::uint64_t inode, const Holder& holder) const;
    void note(int pid, int fd, std::uint64_t inode);
    void look_for(std::set<std::uint64_t> inodes);
    std::size_t look_further();

    std::filesystem::path proc_;
    sys::ProcessLooks looks_;
    std::map<std::uint64_t, Holder> known_;
    // What descriptors are, by process and descriptor, as of this call. nullopt: they could not be looked at.
    std::map<std::pair<int, int>, std::optional<std::uint64_t>> seen_;
    std::set<std::uint64_t> wanted_; // by the pass that is under way
    std::vector<int> remaining_;     // processes that it has still to look through, the lowest last
    int next_fd_ = 0;                // of that one, and how many of its descriptors were looked at
    std::size_t looked_at_ = 0;
    bool is_whole_ = true;            // so far every process could be looked into, or is closed to us
    std::set<std::uint64_t> nowhere_; // what whole passes did not find: the kernel's own, or hidden from us
    unsigned calls_ = 0;
};

} // namespace bpftune::probes

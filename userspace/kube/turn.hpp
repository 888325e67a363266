// SPDX-License-Identifier: Apache-2.0
// What one snapshot costs in looks at processes: each is read once, and no more than so many. What is asked of one
// process is asked together, as the service has another process look for it.
#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/ids.hpp"
#include "kube/processes.hpp"

namespace bpftune::kube {

// Whose a process is. Shared by all that it holds.
struct Owner {
    CgroupOwner cgroup;
    MonoTime read;
    std::optional<std::string> container; // its name; nullopt: the runtime has not told it
    // As of the last turn that asked.
    std::optional<Pod> pod;
    MonoTime pod_known_since;   // of `pod`
    bool is_unsure = false;     // whose it is, for only the runtime can tell, or may know more in a moment
    std::uint64_t resolved = 0; // which turn that was
    std::uint64_t shown = 0;    // which turn has `pod` in a row

    Owner(CgroupOwner of, MonoTime now) : cgroup(std::move(of)), read(now) {}
};
using OwnerPtr = std::shared_ptr<Owner>;

class Turn {
public:
    Turn(Processes& processes, MonoTime now) : processes_(processes), now_(now) {}

    // So many looks, and no more, are taken from here on.
    void allow(std::size_t looks) { looks_left_ = looks; }
    [[nodiscard]] bool is_over() const { return looks_left_ == 0; }

    // Whose a process in this network namespace is. A namespace is told by a process whose first thread is in it: a CNI
    // plugin or an agent sends one of its threads into those of others.
    struct Inside {
        OwnerPtr owner;           // nullptr: it is not in it any more, is closed to us, or the turn is over
        bool is_visiting = false; // the thread's process is elsewhere
    };
    Inside in_netns(int thread, std::uint32_t inode);

    // That of a process that held these sockets, each at its `since`. By its descriptor, where that is shown to us; and
    // its number is no other's, as it had started by then. One look.
    struct Socket {
        int fd = -1; // -1: not known
        std::uint64_t inode = 0;
        std::uint32_t netns = 0; // its own, where it is of interest whether the process is in it as well; else 0
        MonoTime since;
    };
    struct Holder {
        OwnerPtr owner;         // nullptr: as above
        bool is_inside = false; // the process is in `netns`
    };
    static constexpr std::size_t most_sockets = 64;                           // as many as one request asks for
    std::vector<Holder> holders_of(int pid, std::span<const Socket> sockets); // in their order
    OwnerPtr process_at(int pid, MonoTime since);                             // without a socket

private:
    struct Seen {
        OwnerPtr owner;
        std::optional<MonoTime> started;
        std::optional<std::optional<std::uint32_t>> netns; // nullopt: not asked

        [[nodiscard]] bool was_there(MonoTime since) const { return started && *started <= since; }
    };
    Seen& look_at(int pid);
    std::optional<std::uint32_t> netns_of(int pid, Seen& seen);
    bool take_look();

    Processes& processes_;
    std::size_t looks_left_ = 0;
    MonoTime now_;
    std::map<int, Seen> seen_;
};

} // namespace bpftune::kube

// SPDX-License-Identifier: Apache-2.0
// Whose everything in a Snapshot is: the pod by the network namespace, which is exact however cgroups are mounted; by
// cgroup what listens in the node's own namespace, as pods with hostNetwork do, and which container of a pod it is; the
// unit of systemd of what is no pod.
//
// What is known is not read again. What is new costs a look at one process, of which there are at most
// Owners::most_looks in a turn; until then it is unknown, which is said.
#pragma once

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/snapshot.hpp"
#include "kube/pods.hpp"
#include "kube/turn.hpp"

namespace bpftune::kube {

class Owners {
public:
    static constexpr std::size_t most_looks = 256;
    static constexpr std::size_t most_looks_at_event = 16; // a burst does not wait for others' names

    Owners(std::unique_ptr<Processes> processes, Pods pods) : processes_(std::move(processes)), pods_(std::move(pods)) {}

    // What the runtime has now; nullptr: it has not been heard yet.
    void take(std::shared_ptr<const Listing> listing) { pods_.take(std::move(listing)); }

    // Fills in whose it is. At a tick what is not in the snapshot is forgotten.
    void name(Snapshot& snapshot);

    struct Remembered {
        std::size_t namespaces = 0;
        std::size_t sockets = 0;
        std::size_t pods = 0;
    };
    [[nodiscard]] Remembered remembered() const { return {netns_.size(), sockets_.size(), pods_.size()}; }

private:
    struct Netns {
        int pid = 0;       // a process in it, as the last snapshot has it; 0: none
        int looked_at = 0; // the process that `owner` is of; 0: a listener's
        MonoTime since;    // when that process was first seen in it
        MonoTime began;    // when the namespace was first seen
        OwnerPtr owner;    // nullptr: not known yet
        std::uint64_t seen = 0;
    };
    struct Held {
        int pid = 0;
        MonoTime since; // when that process was first seen to hold it
        OwnerPtr owner; // of the process that holds it, or did before
        int looked_at = 0;
        std::uint64_t seen = 0;
    };
    struct Who {
        std::optional<Pod> pod;
        std::string unit;
        bool is_unknown = false;
    };

    void note_namespaces(const Snapshot& snapshot);
    void note(const NetnsId& netns, int pid, MonoTime now);
    void look_at_namespaces(const Snapshot& snapshot, Turn& turn);
    bool is_due(const NetnsId& id, const Netns& netns, MonoTime now) const;
    void look_at(const NetnsId& id, Netns& netns, Turn& turn);
    template <class Socket> void look_at_sockets(const std::vector<Socket>& sockets, Now now, Turn& turn);
    void look_at(Held& held, const Turn::Socket& socket, Turn& turn);
    void adopt(const Snapshot& snapshot, const NetnsId& netns, const OwnerPtr& holder);

    void resolve(Owner& owner, Now now);
    [[nodiscard]] Who whose(const NetnsId& netns, Now now);
    template <class Socket> void name_sockets(std::vector<Socket>& sockets, Now now);
    template <class Row> void name_rows(std::vector<Row>& rows, Now now);
    void name_namespaces(Snapshot& snapshot);
    void add_facts(Snapshot& snapshot);
    void forget();

    std::unique_ptr<Processes> processes_;
    Pods pods_;
    std::map<NetnsId, Netns> netns_; // without that of the host
    std::unordered_map<std::uint64_t, Held> sockets_; // by cookie
    NetnsId host_;
    bool expects_pods_ = false;
    std::uint64_t turn_ = 0;
    std::size_t next_ = 0; // the socket whose turn it is, where there are more than there are looks
    std::set<std::string> named_; // UIDs in this snapshot
};

} // namespace bpftune::kube

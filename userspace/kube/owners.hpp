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

    Owners(std::unique_ptr<Processes> processes, Pods pods)
        : processes_(std::move(processes)), pods_(std::move(pods)) {}

    void take(std::shared_ptr<const Listing> listing, bool is_awaited = false) {
        pods_.take(std::move(listing), is_awaited);
    }

    // Fills in whose it is; `now` is after all in it was read. At a tick what is not in the snapshot is forgotten.
    void name(Snapshot& snapshot, MonoTime now);

    // Whether some process was in a cgroup that is called as a pod's where anybody may choose the name.
    [[nodiscard]] bool has_met_claims() const { return has_met_claims_; }

    struct Remembered {
        std::size_t namespaces = 0;
        std::size_t sockets = 0;
        std::size_t pods = 0;
    };
    [[nodiscard]] Remembered remembered() const { return {netns_.size(), sockets_.size(), pods_.size()}; }

private:
    struct Who {
        std::optional<Pod> pod;
        std::string unit;
        bool is_unknown = false;
    };
    struct Netns {
        int pid = 0;                  // a thread in it, as the last snapshot has it; 0: none
        int looked_at = 0;            // the last such process that was
        int visitor = 0;              // the last such thread of a process that is elsewhere
        MonoTime since;               // when `pid` was first seen in it
        MonoTime began;               // when the namespace was
        bool is_of_runtime = false;   // by a name that it is or was bound to
        bool is_bound = false;        // to some name
        bool is_name_unknown = false; // now: it may be bound to any
        OwnerPtr owner;               // nullptr: not known yet
        std::uint64_t seen = 0;
        Who who;                // as of the last turn that asked
        std::uint64_t told = 0; // which turn that was

        [[nodiscard]] bool may_be_of_runtime() const { return is_of_runtime || is_name_unknown; }
    };
    struct Held {
        int pid = 0; // as Netns has it, of those that hold it
        int looked_at = 0;
        MonoTime since;
        OwnerPtr owner;
        bool is_inside =
            false; // of a socket in a namespace whose pod was not known then: its holder is in that as well
        std::uint64_t seen = 0;
    };

    void note_namespaces(const Snapshot& snapshot);
    Netns* note(const NetnsId& netns);
    [[nodiscard]] bool is_due(const NetnsId& id, const Netns& netns) const;
    [[nodiscard]] bool is_young(const Netns& netns) const;
    [[nodiscard]] bool is_settling(const Netns& netns) const;
    [[nodiscard]] bool is_of_known_pod(const NetnsId& id) const;
    void look_at_namespaces(Turn& turn);
    template <class Socket> void look_at_sockets(const std::vector<Socket>& sockets, Turn& turn);
    void look_at_init(const Snapshot& snapshot, Turn& turn);
    void look_at_connecting(const Snapshot& snapshot, Turn& turn);
    template <class Socket> void adopt_namespaces(const std::vector<Socket>& sockets);

    void resolve(Owner& owner);
    void show(Owner& owner);
    const Who& whose(const NetnsId& netns);
    Who who_has(const Netns& netns);
    template <class Socket> void name_socket(Socket& socket);
    template <class Socket> void name_other(Socket& socket, Owner* holder);
    void name_connecting(NetnsTcp& row);
    template <class Row> void name_rows(std::vector<Row>& rows);
    void name_all(Snapshot& snapshot);
    void add_facts(Snapshot& snapshot);
    void forget();

    std::unique_ptr<Processes> processes_;
    Pods pods_;
    std::map<NetnsId, Netns> netns_;                  // all but the host's
    std::unordered_map<std::uint64_t, Held> sockets_; // by cookie
    std::map<NetnsId, Held> connecting_;              // who found no port in it last
    OwnerPtr init_;                                   // process 1; nullptr: nobody has asked yet
    std::size_t next_netns_ = 0;                      // whose turn it is, where there are more than there are looks
    std::size_t next_group_ = 0;                      // of sockets
    bool has_met_claims_ = false;

    // Of the snapshot at hand.
    std::uint64_t turn_ = 0;
    Now time_;
    MonoTime now_;
    NetnsId host_;
    bool expects_pods_ = false;
    std::set<std::string> named_; // UIDs
};

} // namespace bpftune::kube

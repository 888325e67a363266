// SPDX-License-Identifier: Apache-2.0
// How pods are called, by their UIDs: as the container runtime has them, else by the names of their logs, else by the
// UID alone. Who was known once stays known, whatever becomes of the runtime.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>

#include "core/snapshot.hpp"
#include "kube/pod_logs.hpp"
#include "kube/runtime.hpp"

namespace bpftune::kube {

class Pods {
public:
    // `ask` wants another listing of the runtime, as one has been seen that the last one does not have.
    Pods(PodLogs logs, std::function<void()> ask) : logs_(std::move(logs)), ask_(std::move(ask)) {}

    // What the runtime has now; nullptr: it has not been heard yet. `is_awaited`: it is asked, and does not answer just
    // now: who is new is unknown for so long.
    void take(std::shared_ptr<const Listing> listing, bool is_awaited);

    // When the sandboxes of the listing that was taken last were first listed, if that is now. Costs nothing else.
    void note_listed(MonoTime now);

    struct Found {
        const PodFacts* facts = nullptr; // until the next forget()
        bool is_waited_for = false;      // the runtime may know more in a moment
        // It was there then: a process of it was found, or its sandbox, as it is now, had been listed for 10 s. What
        // is found in a network namespace that is seen first after this may have entered it.
        MonoTime since;
    };
    Found find(const std::string& uid, std::optional<QosClass> qos, Now now);

    // By the runtime; nullptr: it does not know that container.
    [[nodiscard]] const std::string* pod_of_container(std::string_view id) const; // UID
    // Its name by the runtime, "" for a pod's sandbox, which is none of its containers; nullopt: it does not know it.
    [[nodiscard]] std::optional<std::string> container_name(std::string_view id) const;
    void ask() const {
        if (ask_) ask_();
    }

    // Whether there may be pods on this node.
    bool are_expected(Now now) { return listing_ != nullptr || has_seen_any_ || logs_.are_there(now); }
    [[nodiscard]] bool has_runtime() const { return listing_ != nullptr; }
    [[nodiscard]] std::size_t size() const { return pods_.size(); }

    // Those that nobody has looked for since.
    void forget_unused(MonoTime since);

private:
    struct Known {
        PodFacts facts;
        std::uint64_t listing = 0;      // with which the runtime was last looked through for it
        std::optional<MonoTime> missed; // when the runtime was first found not to have it
        MonoTime since;                 // when it was looked for first
        MonoTime used;
    };
    void look_up(Known& pod, Now now);
    [[nodiscard]] MonoTime known_since(const Known& pod) const;

    PodLogs logs_;
    std::function<void()> ask_;
    std::shared_ptr<const Listing> listing_;
    bool is_awaited_ = false;
    std::uint64_t listings_ = 0;                                     // that were taken
    std::unordered_map<std::string_view, const Sandbox*> sandboxes_; // of listing_, by UID: the last of each
    std::uint64_t noted_ = 0;                                        // of `listings_`, in what follows
    std::unordered_map<std::string, MonoTime> listed_since_;         // ready sandboxes, by their IDs
    std::map<std::string, Known, std::less<>> pods_;
    bool has_seen_any_ = false;
};

} // namespace bpftune::kube

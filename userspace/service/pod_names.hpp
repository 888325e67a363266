// SPDX-License-Identifier: Apache-2.0
// Whose everything in a snapshot is, of this node: the one place where its container runtime is asked.
#pragma once

#include <functional>
#include <memory>

#include "core/snapshot.hpp"
#include "kube/owners.hpp"
#include "kube/runtime.hpp"
#include "signals/collector.hpp"

namespace bpftune::service {

class PodNames {
public:
    struct Runtime {
        std::function<std::shared_ptr<const kube::Listing>()> listing; // what it has now; nullptr: not heard yet
        std::function<void()> ask;                                     // for another one
    };
    // Without a runtime, pods are known by the names of their logs.
    PodNames() : PodNames(Runtime{}) {}
    explicit PodNames(Runtime runtime);

    void name(Snapshot& snapshot);
    // For the snapshots of a collector that does not outlive it.
    [[nodiscard]] signals::Collector::Naming naming() {
        return [this](Snapshot& snapshot) { name(snapshot); };
    }

private:
    Runtime runtime_;
    kube::Owners owners_;
};

} // namespace bpftune::service

// SPDX-License-Identifier: Apache-2.0
// One connection to a container runtime. Its calls block, each for `deadline` at most, and may be cancelled by any
// thread.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <vector>

#include <sys/types.h>

#include "core/result.hpp"
#include "kube/runtime.hpp"

namespace bpftune::kube {

class CriConnection {
public:
    // To a socket that `owner` owns and serves. Does not wait: a socket whose queue is full is an error.
    static Result<std::unique_ptr<CriConnection>> open(const std::filesystem::path& socket, uid_t owner,
                                                       std::chrono::milliseconds deadline);
    CriConnection(const CriConnection&) = delete;
    CriConnection& operator=(const CriConnection&) = delete;
    ~CriConnection();

    // All sandboxes and containers. After an error the connection is of no more use.
    Result<Listing> list();
    [[nodiscard]] bool is_no_runtime() const; // who serves it has said so: it knows no CRI v1

    enum class Events { ended, not_served };
    // After the first listing. Calls `happened` for each event of the runtime, until the runtime ends it. Not of one
    // that would take the events from kubelet to give them to us: containerd before 2.0.
    Events watch(const std::function<void()>& happened);

    // What blocks returns soon, and what is called from now on at once.
    void cancel();

private:
    struct Channel;
    explicit CriConnection(std::unique_ptr<Channel> channel);
    std::unique_ptr<Channel> channel_;
};

} // namespace bpftune::kube

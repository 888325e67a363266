// SPDX-License-Identifier: Apache-2.0
// Whose everything in a snapshot is, of this node: the one place where its container runtime is asked.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "core/snapshot.hpp"
#include "kube/cri_client.hpp"
#include "kube/owners.hpp"
#include "signals/collector.hpp"
#include "sys/process_links.hpp"
#include "views/json.hpp"

namespace bpftune::service {

class PodNames {
public:
    // As long as no runtime is asked, pods are known by the names of their logs. `looks`: as processes_of().
    explicit PodNames(sys::ProcessLooks looks = sys::own_looks());
    PodNames(const PodNames&) = delete;
    PodNames& operator=(const PodNames&) = delete;

    // From now on the runtime is asked, by threads: to be called after all forks, and after rights were dropped.
    // Which, is the text of an option: "none", or "" for the first of the usual ones that answers.
    Result<> ask_runtime_at(const std::string& socket);
    [[nodiscard]] bool asks_runtime() const { return client_ != nullptr; }

    // For a poll, where a runtime is asked: readable when it has told something. take() takes that.
    [[nodiscard]] int fd() const { return client_->fd(); }
    void take();

    void name(Snapshot& snapshot);
    // For the snapshots of a collector that does not outlive it.
    [[nodiscard]] signals::Collector::Naming naming() {
        return [this](Snapshot& snapshot) { name(snapshot); };
    }

    // What has become of the runtime since the last call, in words; nullopt: nothing, or none is asked.
    std::optional<std::string> news();
    [[nodiscard]] const kube::CriClient::Known& runtime() const { return known_; }
    // How pods are called, as `doctor` tells it, and why no better way is taken.
    [[nodiscard]] views::NamedBy named_by() const;

private:
    kube::Owners owners_;
    kube::CriClient::Known known_; // as of the last snapshot
    std::string told_;
    bool is_named_ = false; // which runtime is asked, by an option
    std::unique_ptr<kube::CriClient> client_;
};

// "containerd 1.6.20 at /run/containerd/containerd.sock", or why the pods' names are not had there.
std::string in_words(const kube::CriClient::Known& known);

// Whether a runtime that has not answered may know who is new: one that did before, one that an option names, or one
// whose socket is there. Where none is there nobody is waited for.
bool is_awaited(const kube::CriClient::Known& known, bool is_named);

// Whether somebody is not known yet.
bool waits_for_names(const Snapshot& snapshot);

// One listing, now, of what ask_runtime_at() would ask: whether it can be asked.
Result<> check_runtime_at(const std::string& socket);

} // namespace bpftune::service

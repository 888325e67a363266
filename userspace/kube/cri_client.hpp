// SPDX-License-Identifier: Apache-2.0
// Asks the node's container runtime for its pods, over its own socket (CRI v1, gRPC), in a thread of its own: nobody
// waits for it. What was known stays known while the runtime is away.
//
// To be made after the process has forked all that it forks: gRPC has threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include <sys/types.h>

#include "core/result.hpp"
#include "kube/runtime.hpp"

namespace bpftune::kube {

// Docker by cri-dockerd, k3s and rke2, CRI-O, containerd: the last is there beside the first as well, and is none of
// the kubelet's then.
std::vector<std::filesystem::path> usual_cri_sockets();

struct CriState {
    std::filesystem::path socket; // the one in use, or last tried; empty: none is there
    bool connected = false;       // the last listing was answered
    bool events = false;          // the runtime tells of its changes; else it is asked from time to time
    bool unheard = false;         // the runtime of a socket that is there has not answered: it may know more pods
    std::string error;            // why the last listing was not; printable, one line
    std::uint64_t listings = 0;   // answered so far

    bool operator==(const CriState&) const = default;
};

class CriClient {
public:
    struct Options {
        std::vector<std::filesystem::path> sockets =
            usual_cri_sockets();                            // the first that answers: kube/cri_sockets.hpp
        uid_t owner = 0;                                    // who alone may own the socket and serve it
        std::chrono::milliseconds deadline{2000};           // of each call
        std::chrono::milliseconds least_pause{200};         // from the beginning of one listing to the next
        std::chrono::milliseconds poll{10'000};             // a listing at least so often
        std::chrono::milliseconds poll_with_events{60'000}; // the same, where the runtime tells of its changes
        std::chrono::milliseconds first_retry{1000};        // after a failure; twice as long each time
        std::chrono::milliseconds last_retry{30'000};       // up to this
    };
    struct Known {
        std::shared_ptr<const Listing> listing; // null: none yet. The same object as long as nothing has changed
        CriState state;
    };

    // Begins to connect. The error is that of the kernel, out of descriptors.
    static Result<std::unique_ptr<CriClient>> start(Options options);
    CriClient(const CriClient&) = delete;
    CriClient& operator=(const CriClient&) = delete;
    ~CriClient(); // at once: calls are cancelled

    // For a poll: readable when something has become known since the last take().
    [[nodiscard]] int fd() const;
    // A socket that has come to be there since the last try is `unheard`, and asked for: at boot a runtime may come
    // long after the first try, and who is new then is its own.
    Known take();

    // A listing is wanted that begins after this: somebody was seen whom nobody knows. Cheap: those who ask within
    // `least_pause` get one together. While the runtime is away it is tried, but no more often than `first_retry`.
    void ask();

private:
    struct Worker;
    explicit CriClient(std::unique_ptr<Worker> worker);
    std::unique_ptr<Worker> worker_;
};

// One listing, now: whether the runtime can be asked. Waits for `deadline` for each of three answers at most.
Result<> check_runtime(const CriClient::Options& options);

} // namespace bpftune::kube

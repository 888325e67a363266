// SPDX-License-Identifier: Apache-2.0
// Stands between a connected socket and gRPC, which takes a message of any length into memory before it looks at how
// long it is: passes all bytes on, both ways, and hangs up on a peer that sends too many at once.
#pragma once

#include <atomic>
#include <cstddef>
#include <memory>
#include <thread>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::kube {

class CriRelay {
public:
    // `outer` does not block, and may send `most` bytes between two calls of allow(). The error is the kernel's, out of
    // descriptors.
    static Result<std::unique_ptr<CriRelay>> start(sys::Fd outer, std::size_t most);
    CriRelay(const CriRelay&) = delete;
    CriRelay& operator=(const CriRelay&) = delete;
    ~CriRelay(); // hangs up

    // The end for gRPC. Once.
    sys::Fd take_inner() { return std::move(inner_); }

    // Any thread: as many bytes again may come.
    void allow() { received_ = 0; }
    [[nodiscard]] bool has_exceeded() const { return has_exceeded_; }

private:
    CriRelay(sys::Fd outer, sys::Fd near, sys::Fd inner, std::size_t most);
    void run();

    sys::Fd outer_;
    sys::Fd near_; // the other end of `inner_`
    sys::Fd inner_;
    std::size_t most_;
    std::atomic<std::size_t> received_ = 0;
    std::atomic<bool> has_exceeded_ = false;
    std::thread thread_;
};

} // namespace bpftune::kube

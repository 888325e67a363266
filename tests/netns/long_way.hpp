// SPDX-License-Identifier: Apache-2.0
// Whoever sends over a long way has connections that buffers may hold back, which every probe of the node looks at. A
// test that wants none but its own takes the lock alone, all others share it.
#pragma once

#include <fcntl.h>
#include <sys/file.h>

#include "netns/namespace.hpp"

namespace bpftune::testing {

class LongWay {
public:
    enum class Use { shared, alone };

    explicit LongWay(Use use = Use::shared)
        : lock_(::open("/run/lock/bpftune-k8s-long-way.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
        must(lock_ && ::flock(lock_.value(), use == Use::alone ? LOCK_EX : LOCK_SH) == 0, "lock the long way");
    }

private:
    sys::Fd lock_;
};

} // namespace bpftune::testing

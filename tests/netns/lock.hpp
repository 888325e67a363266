// SPDX-License-Identifier: Apache-2.0
// Tests that run beside each other keep out of each other's way by locks of the whole machine.
#pragma once

#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "netns/namespace.hpp"

namespace bpftune::testing {

class Lock {
public:
    // `how`: LOCK_EX, LOCK_SH.
    Lock(const std::string& what, int how) {
        ::mkdir("/run/lock", 0755); // a bare machine may not have it
        file_ =
            sys::Fd(::open(("/run/lock/bpftune-k8s-" + what + ".lock").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        must(file_ && ::flock(file_.value(), how) == 0, "lock " + what);
    }

private:
    sys::Fd file_;
};

enum class Use { shared, alone };

// Sysctls of the host are changed by one test at a time, while no service runs that is not of that test.
class HostLock : Lock {
public:
    explicit HostLock(Use use = Use::alone) : Lock("host-sysctl", use == Use::alone ? LOCK_EX : LOCK_SH) {}
};

// Whoever sends over a long way has connections that buffers may hold back, which every probe of the node looks at. A
// test that wants none but its own takes the lock alone, all others share it.
class LongWay : Lock {
public:
    explicit LongWay(Use use = Use::shared) : Lock("long-way", use == Use::alone ? LOCK_EX : LOCK_SH) {}
};

} // namespace bpftune::testing

// SPDX-License-Identifier: Apache-2.0
// Tests that run beside each other keep out of each other's way by locks of the whole machine. Who has several takes
// them in this order: quiet, host, long way.
#pragma once

#include <cerrno>
#include <string>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "netns/namespace.hpp"

namespace bpftune::testing {

enum class Use { shared, alone };

// In the order in which they come: who waits to be alone is not passed by those that share.
class Lock {
public:
    Lock(const std::string& what, Use use) {
        ::mkdir("/run/lock", 0755); // a bare machine may not have it
        const sys::Fd queue = locked(what + ".queue", LOCK_EX);
        file_ = locked(what, use == Use::alone ? LOCK_EX : LOCK_SH);
    }

private:
    static sys::Fd locked(const std::string& what, int how) {
        const std::string path = "/run/lock/bpftune-k8s-" + what + ".lock";
        sys::Fd file(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        int result = -1;
        while (file && (result = ::flock(file.value(), how)) != 0 && errno == EINTR) {
        }
        must(result == 0, "lock " + what);
        return file;
    }

    sys::Fd file_;
};

// Sysctls of the host are changed by one test at a time, while no service runs that is not of that test.
class HostLock : Lock {
public:
    explicit HostLock(Use use = Use::alone) : Lock("host-sysctl", use) {}
};

// What is done without end in one namespace takes room from the probes of all tests, and what counts the runs of a
// probe counts for all namespaces: such a test is tagged "[loud]" and runs alone. Each test has this lock (quiet.cpp).
class QuietLock : Lock {
public:
    explicit QuietLock(Use use) : Lock("quiet", use) {}
};

// Whoever sends over a long way has connections that buffers may hold back, which every probe of the node looks at. A
// test that wants none but its own takes the lock alone, all others share it.
class LongWay : Lock {
public:
    explicit LongWay(Use use = Use::shared) : Lock("long-way", use) {}
};

} // namespace bpftune::testing

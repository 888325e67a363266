// SPDX-License-Identifier: Apache-2.0
// A process that does harm until the object's end, on one CPU: of root's, or of somebody who may do nothing (uid
// 65534).
#pragma once

#include <functional>

#include <sys/resource.h>

#include "netns/users.hpp"

namespace bpftune::testing {

class Attacker {
public:
    enum class Rights { none, root };

    // `turn` is run again and again. `first`: what is done before, with all rights: to be in a namespace.
    template <class Turn>
    explicit Attacker(Turn turn, Rights rights = Rights::none, const std::function<void()>& first = {})
        : pid_(::fork()) {
        must(pid_ >= 0, "fork");
        if (pid_ != 0) return;
        try {
            if (first) first();
            become(rights);
            while (true) turn();
        } catch (const std::exception& error) { // the service has ended, or goes_on() tells
            fmt::print(stderr, "attacker: {}\n", error.what());
            ::_exit(1);
        }
    }
    Attacker(const Attacker&) = delete;
    Attacker& operator=(const Attacker&) = delete;
    ~Attacker() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    // Whether it is still at it.
    [[nodiscard]] bool goes_on() const { return ::waitpid(pid_, nullptr, WNOHANG) == 0; }

private:
    static void become(Rights rights) {
        rlimit descriptors{};
        must(::getrlimit(RLIMIT_NOFILE, &descriptors) == 0, "know how many descriptors it may have");
        descriptors.rlim_cur = descriptors.rlim_max;
        must(::setrlimit(RLIMIT_NOFILE, &descriptors) == 0, "have as many");
        cpu_set_t one;
        CPU_ZERO(&one);
        CPU_SET(0, &one);
        must(::sched_setaffinity(0, sizeof one, &one) == 0, "stay on one CPU");
        if (rights == Rights::none) become_nobody();
        ::prctl(PR_SET_PDEATHSIG, SIGKILL); // a change of credentials clears it
    }

    pid_t pid_;
};

} // namespace bpftune::testing

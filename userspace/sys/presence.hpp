// SPDX-License-Identifier: Apache-2.0
// That a service runs on this kernel, told to all others, in whichever namespaces and containers they are. A file or a
// socket would be seen in one mount or network namespace, and anybody may bind an abstract socket. A BPF map is the
// kernel's: nobody makes one of this type without CAP_BPF, and it goes with the process that holds it, also by SIGKILL.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include <sys/types.h>

#include "core/result.hpp"
#include "sys/fd.hpp"

namespace bpftune::sys {

// What a service says of itself. Its state directory is fit to show, and cut after 255 bytes.
struct Service {
    pid_t pid = 0;                 // in its own pid namespace
    std::uint64_t start_ticks = 0; // of USER_HZ since boot
    std::string state_dir;

    bool operator==(const Service&) const = default;
};

// Those that are present on this kernel, by their pids. Needs CAP_SYS_ADMIN and CAP_BPF.
Result<std::vector<Service>> services_present();

class Presence {
public:
    // Makes this process present. Needs CAP_BPF.
    static Result<Presence> begin(const std::string& state_dir);

    // Notes those that already are, and tells them of this one. One that was killed is there for a moment still, which
    // is waited for. Needs CAP_SYS_ADMIN.
    Result<> look();

    // Who was noted, and who has looked since, without those of which /proc shows that they have ended. Needs CAP_BPF.
    std::vector<Service> others();

private:
    struct Other {
        Service service;
        bool is_shown = false; // its process is: else it is in a pid namespace that is not seen from here
    };

    Presence(Fd map, Service own) : map_(std::move(map)), own_(std::move(own)) {}
    void note(const Service& service);

    Fd map_;
    Service own_;
    std::vector<Other> others_;
};

} // namespace bpftune::sys

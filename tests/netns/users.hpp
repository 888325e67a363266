// SPDX-License-Identifier: Apache-2.0
// Network namespaces that somebody who may do nothing makes for himself, in user namespaces of his own: `unshare -Urn`.
#pragma once

#include <algorithm>
#include <cerrno>
#include <string>
#include <string_view>
#include <system_error>

#include <catch2/catch.hpp>
#include <grp.h>
#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "netns/namespace.hpp"
#include "sys/files.hpp"

namespace bpftune::testing {

inline constexpr uid_t nobody = 65534;
inline const std::string own_somaxconn = "/proc/sys/net/core/somaxconn"; // of the namespace of who looks

// The calling process, for good.
inline void become_nobody() {
    must(::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
             ::setresuid(nobody, nobody, nobody) == 0,
         "become nobody");
}

inline bool bring_loopback_up() {
    const sys::Fd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::ranges::copy(std::string_view("lo"), request.ifr_name);
    request.ifr_flags = IFF_UP;
    return ::ioctl(socket.value(), SIOCSIFFLAGS, &request) == 0;
}

// The calling process, for good, into a network namespace of its own. False: errno says why not.
inline bool unshare_netns() { return ::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0 && bring_loopback_up(); }

// The switches of this machine that let users make fewer namespaces than so many, as ", NAME is VALUE" each.
inline std::string switches_against_users(std::uint64_t count) {
    std::string found;
    const auto look = [&](const std::string& name, const auto& is_against) {
        const auto value = sys::read_number("/proc/sys/" + name);
        if (value && is_against(*value)) found += fmt::format(", {} is {}", name, *value);
    };
    const auto is_too_few = [&](std::uint64_t value) { return value < count; };
    look("user/max_user_namespaces", is_too_few);
    look("user/max_net_namespaces", is_too_few);
    look("kernel/unprivileged_userns_clone", [](std::uint64_t value) { return value == 0; }); // Debian's
    look("kernel/apparmor_restrict_unprivileged_userns", [](std::uint64_t value) { return value != 0; });
    return found;
}

// Whether users may make so many network namespaces, and have net.core.somaxconn in them: Linux 6.1 shows it to none,
// 6.12 does. Where not, why is said.
inline bool users_have_somaxconn(std::uint64_t count = 1) {
    const Process attempt([] {
        become_nobody();
        const bool is_had = unshare_netns() && ::access(own_somaxconn.c_str(), F_OK) == 0;
        return is_had ? std::uint64_t{0} : static_cast<std::uint64_t>(errno);
    });
    const std::string switches = switches_against_users(count);
    const bool is_too_few = attempt.value() == 0 && switches.contains("/max_");
    const int error = is_too_few ? ENOSPC : static_cast<int>(attempt.value());
    const bool is_forbidden = error != 0 && error != ENOENT;
    if (error == ENOENT) WARN("no somaxconn in namespaces of users here");
    if (is_forbidden)
        WARN("users can't make " << count << " network namespaces here: " << std::generic_category().message(error)
                                 << switches);
    return error == 0;
}

} // namespace bpftune::testing

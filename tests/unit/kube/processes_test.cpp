// SPDX-License-Identifier: Apache-2.0
#include "kube/processes.hpp"

#include <array>
#include <cerrno>

#include <catch2/catch.hpp>

using namespace bpftune;

namespace {

constexpr int fd = 3;
constexpr std::uint64_t inode = 48211;

// What is said of whether a process holds a socket, where a look at its descriptor comes to this.
bool may_hold(const Result<std::vector<sys::LinkTarget>>& found) {
    sys::ProcessLooks looks = sys::own_looks();
    looks.descriptors = [&](pid_t, std::span<const int>) { return found; };
    return kube::processes_of(looks)->may_hold(50, std::array{kube::Processes::Descriptor{fd, inode}})[0];
}

bool may_hold(const sys::LinkTarget& found) { return may_hold(std::vector{found}); }

} // namespace

TEST_CASE("a process holds a socket that it shows, or may, where it is closed to whoever looks") {
    CHECK(may_hold({.inode = inode, .fd = fd}));
    CHECK(may_hold({.fd = fd, .code = EACCES}));
    CHECK(may_hold({.fd = fd, .code = EPERM}));
}

TEST_CASE("a process that shows something else, has gone, or could not be looked at, is not taken for a holder") {
    CHECK_FALSE(may_hold({.inode = inode + 1, .fd = fd}));
    CHECK_FALSE(may_hold({.fd = fd}));
    CHECK_FALSE(may_hold({.fd = fd, .code = ENOENT}));
    CHECK_FALSE(may_hold({.fd = fd, .code = ENOMEM}));
    CHECK_FALSE(may_hold(system_failure(ETIMEDOUT, "look")));
    CHECK_FALSE(may_hold(std::vector<sys::LinkTarget>{}));
}

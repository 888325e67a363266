// SPDX-License-Identifier: Apache-2.0
// Whether a network namespace is said to be gone. Each search is a process's first: no earlier one answers for it.
#include "sys/netns.hpp"

#include <catch2/catch.hpp>
#include <sys/mount.h>
#include <sys/resource.h>

#include "netns/namespace.hpp"

namespace bpftune::sys {

using testing::must;
using testing::Namespace;

namespace {

constexpr NetnsId nowhere{.cookie = 1, .inode = 1};

// The error's code, or 0, of a search by another process that has prepared itself for it.
int search_for(const NetnsId& id, const std::function<void()>& prepare) {
    const pid_t child = ::fork();
    if (child == 0) {
        prepare();
        const auto found = find_netns(id, {});
        ::_exit(found ? 0 : found.error().code);
    }
    int status = 0;
    must(::waitpid(child, &status, 0) == child && WIFEXITED(status), "await a search");
    return WEXITSTATUS(status);
}

// As a container without hostPID.
void take_own_process_ids() {
    must(::unshare(CLONE_NEWNS | CLONE_NEWPID) == 0, "unshare");
    const pid_t first = ::fork();
    if (first > 0) {
        int status = 0;
        ::waitpid(first, &status, 0);
        ::_exit(WEXITSTATUS(status));
    }
    must(::mount("none", "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private");
    must(::mount("proc", "/proc", "proc", 0, nullptr) == 0, "mount /proc");
}

// So many more than are open.
void limit_descriptors(rlim_t more) {
    const Fd lowest(::dup(0)); // all below are open
    const rlim_t limit = static_cast<rlim_t>(lowest.value()) + more;
    const rlimit limits{.rlim_cur = limit, .rlim_max = limit};
    must(::setrlimit(RLIMIT_NOFILE, &limits) == 0, "limit descriptors");
}

} // namespace

TEST_CASE("a network namespace that no process is in and no file is bound to is gone") {
    CHECK(search_for(nowhere, [] {}) == ESTALE);
}

TEST_CASE("where the processes of the node are not seen no network namespace is gone") {
    CHECK(search_for(nowhere, take_own_process_ids) == EACCES);
}

TEST_CASE("a network namespace that could not be opened is not gone") {
    const Namespace netns;
    const NetnsId id{.cookie = 1, .inode = netns.inode()};
    CHECK(search_for(id, [] {}) == 0);
    CHECK(search_for(id, [] { limit_descriptors(1); }) == EMFILE); // the file that it is bound to takes two
    CHECK(search_for(nowhere, [] { limit_descriptors(1); }) == ESTALE);
}

} // namespace bpftune::sys

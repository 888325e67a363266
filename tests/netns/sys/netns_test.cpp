// SPDX-License-Identifier: Apache-2.0
// Whether a network namespace is said to be gone. Each search is a process's first: no earlier one answers for it.
#include "sys/netns.hpp"

#include <csignal>

#include <catch2/catch.hpp>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "netns/namespace.hpp"
#include "sys/files.hpp"

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

// A process of this uid in a user namespace of its own in another one, which root has made and mapped as the node's.
class Nested {
public:
    explicit Nested(uid_t uid) {
        int is_outside[2], is_mapped[2], is_inside[2];
        must(::pipe(is_outside) == 0 && ::pipe(is_mapped) == 0 && ::pipe(is_inside) == 0, "pipe");
        const auto tell = [](int to) { must(::write(to, "", 1) == 1, "write"); };
        const auto await = [](int from) {
            char byte = 0;
            must(::read(from, &byte, 1) == 1, "read");
        };
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            must(::unshare(CLONE_NEWUSER) == 0, "unshare");
            tell(is_outside[1]);
            await(is_mapped[0]);
            must(::setresuid(uid, uid, uid) == 0, "setresuid");
            must(::unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0, "unshare");
            tell(is_inside[1]);
            while (true) ::pause();
        }
        await(is_outside[0]);
        outer_ = inode_of("user");
        for (const std::string ids : {"uid", "gid"})
            must(write_file(fmt::format("/proc/{}/{}_map", pid_, ids), "0 0 65536").has_value(), "map");
        tell(is_mapped[1]);
        await(is_inside[0]);
        for (const auto& ends : {is_outside, is_mapped, is_inside})
            for (const int end : {ends[0], ends[1]}) ::close(end);
    }
    Nested(const Nested&) = delete;
    Nested& operator=(const Nested&) = delete;
    ~Nested() {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

    [[nodiscard]] std::uint32_t outer() const { return outer_; } // inode
    [[nodiscard]] Fd netns() const { return Fd(::open(path_of("net").c_str(), O_RDONLY | O_CLOEXEC)); }

private:
    [[nodiscard]] std::string path_of(const std::string& kind) const {
        return fmt::format("/proc/{}/ns/{}", pid_, kind);
    }
    [[nodiscard]] std::uint32_t inode_of(const std::string& kind) const {
        struct stat status{};
        must(::stat(path_of(kind).c_str(), &status) == 0, "stat");
        return static_cast<std::uint32_t>(status.st_ino);
    }

    pid_t pid_ = -1;
    std::uint32_t outer_ = 0;
};

TEST_CASE("of a network namespace in nested user namespaces the outermost is told, whoever made the others") {
    const Nested one(5);
    CHECK(user_ns_owner(one.netns()) == 5U);
    const auto outermost = outermost_user_ns(one.netns());
    REQUIRE(outermost.has_value());
    CHECK(outermost->inode == one.outer());
    CHECK(outermost->owner == 0);
    const Namespace of_node;
    CHECK_FALSE(outermost_user_ns(Fd(::dup(of_node.fd()))).has_value());
}

} // namespace bpftune::sys

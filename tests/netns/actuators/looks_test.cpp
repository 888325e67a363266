// SPDX-License-Identifier: Apache-2.0
// What the writer says of processes, which are closed to the service.
#include <algorithm>
#include <array>
#include <csignal>
#include <fstream>
#include <vector>

#include <sys/prctl.h>

#include "actuators/listener_process.hpp"
#include "fixtures.hpp"

using namespace bpftune;
using namespace bpftune::testing;
using actuators::Writer;

namespace {

constexpr uid_t nobody = 65534;
constexpr pid_t no_process = 0x7fffffff;
constexpr std::size_t sockets_of_other = 150;

// Of another user, with sockets between other files. What it is shows to whoever may ptrace it, as after exec().
struct Other {
    const Namespace& netns;
    Process process{netns, [] {
                        static std::vector<sys::Fd> kept;
                        for (std::size_t i = 0; i < sockets_of_other; ++i) {
                            kept.emplace_back(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
                            kept.emplace_back(::open("/dev/null", O_RDONLY | O_CLOEXEC));
                        }
                        must(::setresuid(nobody, nobody, nobody) == 0, "become nobody");
                        must(::prctl(PR_SET_DUMPABLE, 1) == 0, "be dumpable");
                        return std::uint64_t{0};
                    }};

    [[nodiscard]] pid_t pid() const { return process.pid(); }
};

// The writer's own child, which it has look at descriptors.
pid_t child_of(pid_t pid) {
    pid_t child = 0;
    std::ifstream(fmt::format("/proc/{0}/task/{0}/children", pid)) >> child;
    must(child > 0, "find the writer's child");
    return child;
}

std::vector<sys::LinkTarget> all_sockets(Writer& writer, pid_t pid) {
    std::vector<sys::LinkTarget> all;
    for (std::optional<int> from = 0; from;) {
        const auto part = take(writer.sockets(pid, *from));
        all.insert(all.end(), part.sockets.begin(), part.sockets.end());
        from = part.next;
    }
    return all;
}

} // namespace

TEST_CASE("the writer says in which network namespaces processes are, of however many it is asked") {
    const Namespace netns;
    const Other other(netns);
    auto writer = take(Writer::start());
    std::vector<pid_t> asked;
    for (int i = 0; i < 100; ++i) asked.insert(asked.end(), {other.pid(), no_process, ::getpid()});
    const auto found = take(writer.namespaces(asked));
    CHECK(found == sys::namespaces_of(asked));
    CHECK(found[0].inode == netns.inode());
    CHECK(found[1].code == ENOENT);
    CHECK(take(writer.namespaces({})).empty());
}

TEST_CASE("the writer says which sockets a process of another user has, and at which descriptors") {
    const Namespace netns;
    const Other other(netns);
    auto writer = take(Writer::start());
    const auto sockets = all_sockets(writer, other.pid());
    CHECK(sockets.size() >= sockets_of_other);
    CHECK(std::ranges::is_sorted(sockets, {}, &sys::LinkTarget::fd));
    std::vector<int> fds;
    for (const sys::LinkTarget& socket : sockets) fds.push_back(socket.fd);
    CHECK(take(writer.descriptors(other.pid(), fds)) == sockets);
    fds = {65000, -1, sockets[0].fd};
    const auto found = take(writer.descriptors(other.pid(), fds));
    CHECK(found[0].code == ENOENT);
    CHECK(found[1].code == ENOENT);
    CHECK(found[2] == sockets[0]);
    const auto gone = writer.sockets(no_process, 0);
    REQUIRE_FALSE(gone);
    CHECK(sys::is_of_process(gone.error()));
}

TEST_CASE("as long as the writer is busy nothing is said of any process") {
    auto writer = take(Writer::start());
    writer.set_patience(std::chrono::milliseconds(200));
    REQUIRE(::kill(writer.pid(), SIGSTOP) == 0);
    const std::array pids{::getpid()};
    const std::array fds{0};
    for (int i = 0; i < 2; ++i) {
        CHECK_FALSE(writer.namespaces(pids));
        CHECK_FALSE(writer.descriptors(::getpid(), fds));
        const auto sockets = writer.sockets(::getpid(), 0);
        REQUIRE_FALSE(sockets);
        CHECK_FALSE(sys::is_of_process(sockets.error()));
    }
    REQUIRE(::kill(writer.pid(), SIGCONT) == 0);
    CHECK(writer.catches_up(std::chrono::minutes(1)));
    CHECK(take(writer.namespaces(pids)) == sys::namespaces_of(pids));
}

// Stopped, as one that waits in the kernel for a socket that its holder has closed to linger.
TEST_CASE("a process whose descriptors can't be looked at is left alone, others and its listener are not") {
    const Namespace netns;
    const Server server(netns, 10);
    const Other other(netns);
    auto writer = take(Writer::start());
    REQUIRE(::kill(child_of(writer.pid()), SIGSTOP) == 0);
    const auto silent = writer.sockets(server.pid(), 0);
    REQUIRE_FALSE(silent);
    CHECK(silent.error().code == actuators::no_answer);
    CHECK_FALSE(sys::is_of_process(silent.error()));

    const std::array fds{0};
    const auto after = writer.descriptors(server.pid(), fds);
    REQUIRE_FALSE(after);
    CHECK(after.error().code == actuators::not_tried);
    CHECK(all_sockets(writer, other.pid()).size() >= sockets_of_other);
    CHECK(take(writer.namespaces(std::array{server.pid()}))[0].inode == netns.inode());
    CHECK(take(writer.read(TunableId::listener_backlog, server.scope())) == 10);
}

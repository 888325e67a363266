// SPDX-License-Identifier: Apache-2.0
// Who holds a socket, by a made up /proc.
#include "probes/holders.hpp"

#include <cerrno>
#include <fstream>
#include <set>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::probes;

namespace fs = std::filesystem;

namespace {

struct Proc {
    testing::TemporaryDirectory root;
    int refusal = 0;      // an errno: nobody can look
    std::set<int> closed; // processes that cannot be looked into
    int questions = 0;
    Holders holders{root.path(), looks()};

    void opens(int pid, int fd, std::uint64_t inode) const {
        const fs::path process = root / std::to_string(pid);
        fs::create_directories(process / "fd");
        std::ofstream(process / "comm") << fmt::format("p{}\n", pid);
        fs::create_symlink(fmt::format("socket:[{}]", inode), process / "fd" / std::to_string(fd));
    }
    void closes(int pid, int fd) const { fs::remove(root / std::to_string(pid) / "fd" / std::to_string(fd)); }

    // Those of the made up processes, as long as they may.
    sys::ProcessLooks looks() {
        return {.namespaces = {},
                .descriptors = [this](pid_t pid, std::span<const int> fds) -> Result<std::vector<sys::LinkTarget>> {
                    if (refusal != 0 || closed.contains(pid)) return system_failure(ETIME, "look");
                    return sys::descriptors_of(pid, fds, root.path());
                },
                .sockets = [this](pid_t pid, int from) -> Result<sys::OpenSockets> {
                    ++questions;
                    if (refusal != 0 || closed.contains(pid)) return system_failure(ETIME, "look");
                    return sys::sockets_of(pid, from, root.path());
                }};
    }

    ListenerReading look(std::uint64_t inode = 7) {
        std::vector<ListenerReading> listeners{{.inode = inode}};
        holders.name(listeners);
        return listeners[0];
    }
};

} // namespace

TEST_CASE("a socket is the lowest process' that holds it, and process 1's where nobody else does") {
    Proc proc;
    proc.opens(1, 40, 7);
    CHECK(proc.look().pid == 1);
    CHECK_FALSE(proc.look().is_held_by_init);
    proc.opens(900, 3, 8);
    proc.opens(1000, 5, 8);
    CHECK(proc.look(8).pid == 900);
    CHECK_FALSE(proc.look(8).is_held_by_init);
}

TEST_CASE("a socket that process 1 keeps is its server's as soon as that is found, and while it is there") {
    Proc proc;
    proc.opens(1, 40, 7);
    const bool is_there_at_first = GENERATE(true, false);
    if (!is_there_at_first) CHECK(proc.look().pid == 1);
    proc.opens(900, 3, 7);
    ListenerReading found = proc.look();
    for (int calls = 0; calls < 12 && found.pid == 1; ++calls) found = proc.look();
    CHECK(found.pid == 900);
    CHECK(found.fd == 3);
    CHECK(found.command == "p900");
    CHECK(found.is_held_by_init);
    SECTION("process 1 closes it") {
        proc.closes(1, 40);
        CHECK(proc.look().pid == 900);
        CHECK_FALSE(proc.look().is_held_by_init);
    }
    SECTION("its server does") {
        proc.closes(900, 3);
        CHECK(proc.look().pid == 1);
        CHECK(proc.look().fd == 40);
        CHECK_FALSE(proc.look().is_held_by_init);
    }
}

TEST_CASE("as long as nobody can look, who held a socket still does, and what is new is not taken to be nowhere") {
    Proc proc;
    proc.opens(900, 3, 7);
    REQUIRE(proc.look().pid == 900);
    proc.refusal = ETIME;
    proc.closes(900, 3);
    for (int calls = 0; calls < 3; ++calls) CHECK(proc.look().pid == 900);
    proc.refusal = 0;
    CHECK(proc.look().pid == 0);

    proc.opens(901, 3, 8);
    proc.refusal = ETIME;
    for (int calls = 0; calls < 3; ++calls) CHECK(proc.look(8).pid == 0);
    proc.refusal = 0;
    ListenerReading found = proc.look(8);
    for (int calls = 0; calls < 3 && found.pid == 0; ++calls) found = proc.look(8); // the pass under way goes first
    CHECK(found.pid == 901);
}

TEST_CASE("a process that cannot be looked into hides no other's socket") {
    Proc proc;
    proc.opens(800, 3, 9);
    proc.closed = {800};
    proc.opens(900, 3, 7);
    ListenerReading found = proc.look();
    for (int calls = 0; calls < 3 && found.pid == 0; ++calls) found = proc.look();
    CHECK(found.pid == 900);
    for (int calls = 0; calls < 3; ++calls) CHECK(proc.look(9).pid == 0);
    proc.closed.clear();
    for (int calls = 0; calls < 3 && found.pid != 800; ++calls) found = proc.look(9);
    CHECK(found.pid == 800);
}

TEST_CASE("what no process holds is looked for once, and then in no call") {
    Proc proc;
    proc.opens(900, 3, 7);
    CHECK(proc.look(8).pid == 0);
    const int asked = proc.questions;
    CHECK(asked > 0);
    for (int calls = 0; calls < 5; ++calls) CHECK(proc.look(8).pid == 0);
    CHECK(proc.questions == asked);
}

TEST_CASE("one call asks a bounded number of questions, and the next ones go on") {
    Proc proc;
    constexpr int processes = 600;
    for (int i = 0; i < processes; ++i) proc.opens(1000 + i, 3, 100U + static_cast<std::uint64_t>(i));
    CHECK(proc.look(100 + processes - 1).pid == 0);
    CHECK(proc.questions < processes / 2);
    ListenerReading found;
    for (int calls = 0; calls < 10 && found.pid == 0; ++calls) found = proc.look(100 + processes - 1);
    CHECK(found.pid == 1000 + processes - 1);
}

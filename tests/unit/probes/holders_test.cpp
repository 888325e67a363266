// SPDX-License-Identifier: Apache-2.0
// Who holds a socket, by a made up /proc.
#include "probes/holders.hpp"

#include <fstream>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::probes;

namespace fs = std::filesystem;

namespace {

struct Proc {
    testing::TemporaryDirectory root;
    Holders holders{root.path()};

    void opens(int pid, int fd, std::uint64_t inode) const {
        const fs::path process = root / std::to_string(pid);
        fs::create_directories(process / "fd");
        std::ofstream(process / "comm") << fmt::format("p{}\n", pid);
        fs::create_symlink(fmt::format("socket:[{}]", inode), process / "fd" / std::to_string(fd));
    }
    void closes(int pid, int fd) const { fs::remove(root / std::to_string(pid) / "fd" / std::to_string(fd)); }

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

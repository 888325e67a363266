// SPDX-License-Identifier: Apache-2.0
#include "service/lock.hpp"

#include <fstream>

#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::service;
using testing::TemporaryDirectory;

namespace {

std::string error_of(const std::filesystem::path& state) {
    const auto lock = lock_state(state, Nanoseconds(0));
    return lock ? "locked" : lock.error().message;
}

} // namespace

TEST_CASE("the lock of a state directory is had by one, and says by whom") {
    const TemporaryDirectory folder;
    const std::string ours = std::to_string(::getpid());
    {
        const auto lock = lock_state(folder / "state", Nanoseconds(0));
        REQUIRE(lock);
        CHECK(error_of(folder / "state") ==
              "another instance (pid " + ours + ") holds " + (folder / "state" / "lock").string() + "; stop it first");
    }
    CHECK(error_of(folder / "state") == "locked");
    CHECK(sys::read_file(folder / "state" / "lock") == ours + "\n");
    std::ofstream(folder / "state" / "lock", std::ios::trunc) << std::flush; // cut short by a full disk
    CHECK(error_of(folder / "state") == "locked");
}

TEST_CASE("a lock that is a link, or a file of somebody else's, is refused and what is in it stays") {
    const TemporaryDirectory folder;
    const std::string precious = "this is no lock of ours, and must not be cut\n";
    std::ofstream(folder / "precious") << precious << std::flush;
    std::filesystem::create_directory(folder / "state");
    SECTION("a link") {
        std::filesystem::create_symlink("../precious", folder / "state" / "lock");
        CHECK_THAT(error_of(folder / "state"), Catch::Contains("lock is a link, which is not followed"));
    }
    SECTION("a file, however short") {
        const std::string content = GENERATE_COPY(std::string("short"), "\n", "12 34\n", "-1\n", "7\n\n", precious);
        std::ofstream(folder / "state" / "lock") << content << std::flush;
        CHECK_THAT(error_of(folder / "state"), Catch::Contains("lock holds no process id, as a lock of ours does"));
        CHECK(sys::read_file(folder / "state" / "lock") == content);
    }
    SECTION("a pipe") {
        REQUIRE(::mkfifo((folder / "state" / "lock").c_str(), 0600) == 0);
        CHECK_THAT(error_of(folder / "state"), Catch::Contains("lock is not a regular file"));
    }
    CHECK(sys::read_file(folder / "precious") == precious);
}

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

constexpr auto boot = "8c4dd5ae-0000-4000-8000-000000000001";

std::string first_line(const std::filesystem::path& file) {
    std::string line;
    std::getline(std::ifstream(file), line);
    return line.substr(0, line.find(' '));
}

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
    CHECK(first_line(folder / "state" / "lock") == ours);
    const std::string content = GENERATE(std::string(), std::string(48, '\0'),
                                         "712\n" + std::string(44, '\0')); // what a hurt disk leaves of it
    std::ofstream(folder / "state" / "lock", std::ios::trunc) << content << std::flush;
    CHECK(error_of(folder / "state") == "locked");
    CHECK(first_line(folder / "state" / "lock") == ours);
}

TEST_CASE("the lock keeps the boot that was noted in it last, and is never cut") {
    const TemporaryDirectory folder;
    {
        auto lock = lock_state(folder.path(), Nanoseconds(0));
        REQUIRE(lock);
        CHECK_FALSE(lock->boot);
        REQUIRE(note_boot(*lock, boot));
        CHECK(lock->boot == boot);
        CHECK_FALSE(lock->is_boot_kept);
        REQUIRE(keep_boot(*lock));
        CHECK(lock->is_boot_kept);
    }
    const auto size = std::filesystem::file_size(folder / "lock");
    for (int i = 0; i < 2; ++i) {
        const auto lock = lock_state(folder.path(), Nanoseconds(0));
        REQUIRE(lock);
        CHECK(lock->boot == boot);
        CHECK(std::filesystem::file_size(folder / "lock") == size);
    }
    std::ofstream(folder / "lock", std::ios::trunc) << "4194304\n" << std::flush; // of an earlier version
    const auto lock = lock_state(folder.path(), Nanoseconds(0));
    REQUIRE(lock);
    CHECK_FALSE(lock->boot);
    CHECK(std::filesystem::file_size(folder / "lock") == size);
}

TEST_CASE("a state directory of ours, or an empty one, is closed to others, and one that is not ours alone is not") {
    const TemporaryDirectory folder;
    const auto [mode, other_file, after] = GENERATE(table<unsigned, std::string, unsigned>({
        {0755, "", 0750},
        {0755, "journal.db-wal", 0750},
        {0711, "", 0710},
        {0700, "", 0700},
        {0755, "somebody's", 0755},
        {0755, "journal", 0755},
        {01755, "", 01750},
    }));
    INFO(other_file);
    if (!other_file.empty()) std::ofstream(folder / other_file) << std::flush;
    std::filesystem::permissions(folder.path(), std::filesystem::perms{mode});
    const auto lock = lock_state(folder.path(), Nanoseconds(0));
    REQUIRE(lock);
    CHECK(lock->has_closed == (mode != after));
    struct stat status{};
    REQUIRE(::stat(folder.path().c_str(), &status) == 0);
    CHECK((status.st_mode & 07777) == after);
}

TEST_CASE("a directory that others may write is refused, empty as it is, and stays as it is") {
    const TemporaryDirectory folder;
    const auto [mode, shown] = GENERATE(table<unsigned, std::string>({{0777, "0777"}, {01777, "1777"}}));
    std::filesystem::permissions(folder.path(), std::filesystem::perms{mode});
    CHECK_THAT(error_of(folder.path()), Catch::Contains("can be written by others than its owner (mode " + shown));
    CHECK(std::filesystem::is_empty(folder.path()));
    CHECK(std::filesystem::status(folder.path()).permissions() == std::filesystem::perms{mode});
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
        const std::string content = GENERATE_COPY(std::string("short"), "\n", "12 34\n", "-1\n", "7\n\n",
                                                  "7\nno boot\n", "7\n" + std::string(36, 'x') + "\n", precious);
        std::ofstream(folder / "state" / "lock") << content << std::flush;
        std::filesystem::permissions(folder / "state", std::filesystem::perms{0755});
        CHECK_THAT(error_of(folder / "state"), Catch::Contains("lock holds no process id, as a lock of ours does"));
        CHECK(std::filesystem::status(folder / "state").permissions() == std::filesystem::perms{0755});
        CHECK(sys::read_file(folder / "state" / "lock") == content);
    }
    SECTION("a pipe") {
        REQUIRE(::mkfifo((folder / "state" / "lock").c_str(), 0600) == 0);
        CHECK_THAT(error_of(folder / "state"), Catch::Contains("lock is not a regular file"));
    }
    CHECK(sys::read_file(folder / "precious") == precious);
}

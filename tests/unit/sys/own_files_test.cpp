// SPDX-License-Identifier: Apache-2.0
#include "sys/own_files.hpp"

#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>
#include <sys/stat.h>
#include <unistd.h>

#include "sys/files.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::sys;
using testing::TemporaryDirectory;

namespace fs = std::filesystem;

namespace {

constexpr uid_t nobody = 65534;

void write_text(const fs::path& path, const std::string& text) { std::ofstream(path) << text << std::flush; }

mode_t mode_of(const fs::path& path) {
    struct stat status{};
    REQUIRE(::stat(path.c_str(), &status) == 0);
    return status.st_mode & 07777;
}

std::string refused(const fs::path& directory) {
    const auto opened = open_own_directory(directory);
    return opened ? "taken" : opened.error().message;
}

// What is said of a file that `make` has put there; what it held must still be there.
std::string refused_file(const fs::path& folder, const std::string& name = "lock") {
    const auto directory = open_own_directory(folder);
    REQUIRE(directory);
    const auto checked = check_own_file(*directory, name);
    const auto opened = open_own_file(*directory, name, 0640);
    CHECK(checked.has_value() == opened.has_value());
    if (opened) return "taken";
    CHECK(checked.error().message == opened.error().message);
    return opened.error().message;
}

std::string read_or_error(const fs::path& path) {
    const auto text = read_trusted_file(path);
    return text ? *text : text.error().message;
}

} // namespace

TEST_CASE("a directory of ours is made for us and our group, and taken as it is when it is there") {
    const TemporaryDirectory folder;
    REQUIRE(open_own_directory(folder / "a" / "state"));
    CHECK(mode_of(folder / "a" / "state") == 0750);
    fs::permissions(folder / "a" / "state", fs::perms{0755});
    const auto again = open_own_directory(folder / "a" / "state/");
    REQUIRE(again);
    CHECK(mode_of(folder / "a" / "state") == 0755);
}

TEST_CASE("a directory that is a link, or that others may write, is refused with what to do") {
    const TemporaryDirectory folder;
    fs::create_directory(folder / "real");
    fs::create_directory_symlink("real", folder / "link");
    for (const char* name : {"link", "link/"})
        CHECK_THAT(refused(folder / name),
                   Catch::EndsWith("is a link, which is not followed: name the directory itself"));
    CHECK(fs::is_empty(folder / "real"));
    fs::permissions(folder / "real", fs::perms{0757});
    CHECK_THAT(refused(folder / "real"),
               Catch::Contains("can be written by others than its owner") && Catch::Contains("`chmod go-w "));
    fs::permissions(folder / "real", fs::perms{01777}); // as /tmp
    CHECK_THAT(refused(folder / "real"),
               Catch::Contains("can be written by others than its owner (mode 1777): name one that nobody else uses"));
    write_text(folder / "file", "");
    CHECK_THAT(refused(folder / "file"), Catch::Contains("Not a directory"));
}

TEST_CASE("a file of ours is made where it is missing, and what was in it stays") {
    const TemporaryDirectory folder;
    CHECK(refused_file(folder.path()) == "taken");
    CHECK(mode_of(folder / "lock") == 0640);
    write_text(folder / "lock", "123\n");
    CHECK(refused_file(folder.path()) == "taken");
    CHECK(read_file(folder / "lock") == "123\n");
}

TEST_CASE("a link in the place of a file is not followed, and what it stands for stays as it is") {
    const TemporaryDirectory folder;
    write_text(folder / "precious", "precious");
    SECTION("a symbolic one") {
        fs::create_symlink("precious", folder / "lock");
        CHECK_THAT(refused_file(folder.path()),
                   Catch::EndsWith("/lock is a link, which is not followed: move it away"));
    }
    SECTION("one to nothing, which is not made") {
        fs::create_symlink("new", folder / "lock");
        CHECK_THAT(refused_file(folder.path()),
                   Catch::EndsWith("/lock is a link, which is not followed: move it away"));
        CHECK_FALSE(fs::exists(folder / "new"));
    }
    SECTION("a second name") {
        fs::create_hard_link(folder / "precious", folder / "lock");
        CHECK_THAT(refused_file(folder.path()), Catch::Contains("/lock has 2 names"));
    }
    CHECK(read_file(folder / "precious") == "precious");
}

TEST_CASE("a pipe in the place of a file is waited for by nobody, and no directory is taken for one") {
    const TemporaryDirectory folder;
    REQUIRE(::mkfifo((folder / "lock").c_str(), 0600) == 0);
    CHECK_THAT(refused_file(folder.path()), Catch::EndsWith("/lock is not a regular file: move it away"));
    CHECK_THAT(read_or_error(folder / "lock"), Catch::EndsWith("/lock is not a regular file"));
    CHECK_THAT(read_or_error("/dev/zero"), Catch::Equals("/dev/zero is not a regular file"));
    CHECK_THAT(read_or_error(folder.path()), Catch::EndsWith(" is not a regular file"));
}

TEST_CASE("a file that others may write is refused, one that they may read is not") {
    const TemporaryDirectory folder;
    write_text(folder / "policy", "text");
    const auto is_refused = [&] {
        CHECK_THAT(read_or_error(folder / "policy"), Catch::Contains("can be written by others than its owner"));
        CHECK_THAT(refused_file(folder.path(), "policy"), Catch::Contains("can be written by others than its owner"));
    };
    fs::permissions(folder / "policy", fs::perms{0602});
    is_refused();
    fs::permissions(folder / "policy", fs::perms{0660});
    if (::getegid() != 0) return is_refused();
    CHECK(read_or_error(folder / "policy") == "text"); // by root's group
    REQUIRE(::chown((folder / "policy").c_str(), 0, nobody) == 0);
    is_refused();
    fs::permissions(folder / "policy", fs::perms{0644});
    CHECK(read_or_error(folder / "policy") == "text");
}

TEST_CASE("what another user owns is refused, with who it is and what to do") {
    if (::geteuid() != 0) return; // nobody else can give files away
    const TemporaryDirectory folder;
    write_text(folder / "policy", "text");
    REQUIRE(::chown((folder / "policy").c_str(), nobody, nobody) == 0);
    CHECK_THAT(read_or_error(folder / "policy"),
               Catch::Contains("belongs to user 65534") && Catch::Contains("`chown 0 "));
    CHECK_THAT(refused_file(folder.path(), "policy"), Catch::Contains("belongs to user 65534"));
    REQUIRE(::chown(folder.path().c_str(), nobody, nobody) == 0);
    CHECK_THAT(refused(folder.path()), Catch::Contains("belongs to user 65534"));
}

TEST_CASE("what belongs to whoever called sudo is taken") {
    if (::geteuid() != 0) return;
    const TemporaryDirectory folder;
    write_text(folder / "policy", "text");
    REQUIRE(::chown((folder / "policy").c_str(), nobody, nobody) == 0);
    ::setenv("SUDO_UID", "65534", 1);
    CHECK(read_or_error(folder / "policy") == "text");
    ::setenv("SUDO_UID", "65533", 1);
    CHECK_THAT(read_or_error(folder / "policy"), Catch::Contains("belongs to user 65534"));
    ::unsetenv("SUDO_UID");
}

TEST_CASE("a trusted text may be behind links, as a ConfigMap's is: what they end at counts") {
    const TemporaryDirectory folder;
    fs::create_directory(folder / "..v1");
    write_text(folder / "..v1" / "policy", "text");
    fs::create_directory_symlink("..v1", folder / "..data");
    fs::create_symlink("..data/policy", folder / "policy");
    CHECK(read_or_error(folder / "policy") == "text");
    fs::permissions(folder / "..v1" / "policy", fs::perms{0666});
    CHECK_THAT(read_or_error(folder / "policy"), Catch::Contains("can be written by others than its owner"));
    CHECK(read_trusted_file(folder / "missing").error().code == ENOENT);
}

// SPDX-License-Identifier: Apache-2.0
#include "service/journal_at_start.hpp"

#include <fstream>

#include <catch2/catch.hpp>
#include <sqlite3.h>

#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::service;
using testing::TemporaryDirectory;

namespace {

constexpr auto boot = "8c4dd5ae-0000-4000-8000-000000000001";
constexpr auto next_boot = "8c4dd5ae-0000-4000-8000-000000000002";

enum class Does { nothing, raise };

// A start in that boot, and what the service does then: why it would write nothing.
std::optional<std::string> start(const std::filesystem::path& state, const std::string& boot_id,
                                 Does what = Does::nothing) {
    auto lock = lock_state(state, Nanoseconds(0));
    REQUIRE(lock);
    auto journal = open_journal(*lock, boot_id);
    INFO((journal ? "" : journal.error().message));
    REQUIRE(journal);
    if (what == Does::raise) {
        REQUIRE(note_boot(*lock, boot_id));
        Change change;
        change.from = "128";
        change.to = "1024";
        change.state = ChangeState::applied;
        REQUIRE(journal->begin(change));
        REQUIRE(keep_boot(*lock));
    }
    return originals_lost(state, boot_id);
}

bool raises(const std::filesystem::path& state, const std::string& boot_id) {
    return !start(state, boot_id, Does::raise);
}

std::filesystem::path aside_of(const std::filesystem::path& state, const std::string& boot_id) {
    return state / ("journal-damaged-" + boot_id + ".db");
}

void remove_journal(const std::filesystem::path& state) {
    for (const std::string beside : {"", "-wal", "-shm"}) std::filesystem::remove(state / ("journal.db" + beside));
}

void damage(const std::filesystem::path& state) {
    std::ofstream(state / "journal.db", std::ios::trunc) << std::string(8192, 'x') << std::flush;
}

} // namespace

TEST_CASE("a journal that is damaged in the boot in which it was written takes its originals with it") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    damage(folder.path());
    for (int i = 0; i < 2; ++i) CHECK_THAT(start(folder.path(), boot).value_or(""), Catch::Contains("Observing until"));
    CHECK_FALSE(start(folder.path(), next_boot));
}

TEST_CASE("after a power failure a damaged journal is of the boot before, of which nothing is left to be put back") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    damage(folder.path());
    CHECK_FALSE(start(folder.path(), next_boot));
    CHECK(std::filesystem::exists(aside_of(folder.path(), boot)));
    damage(folder.path()); // nothing was changed since
    CHECK(raises(folder.path(), next_boot));
    damage(folder.path());
    CHECK(start(folder.path(), next_boot));
}

TEST_CASE("a journal that is gone in the boot in which it was written takes its originals with it") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    const std::string left = GENERATE("nothing", "an empty file", "a database without tables");
    INFO(left);
    remove_journal(folder.path());
    if (left == "an empty file") std::ofstream(folder / "journal.db") << std::flush;
    if (left == "a database without tables") {
        sqlite3* database = nullptr;
        REQUIRE(sqlite3_open((folder / "journal.db").c_str(), &database) == SQLITE_OK);
        REQUIRE(sqlite3_exec(database, "CREATE TABLE t(x); DROP TABLE t", nullptr, nullptr, nullptr) == SQLITE_OK);
        sqlite3_close(database);
    }
    for (int i = 0; i < 2; ++i) {
        const std::string why = start(folder.path(), boot).value_or("");
        CHECK_THAT(why, Catch::Contains("Observing until") && Catch::Contains(aside_of(folder.path(), boot).string()));
        if (left != "a database without tables") CHECK_THAT(why, Catch::StartsWith("journal.db was missing, or empty"));
    }
    CHECK_FALSE(std::filesystem::exists(aside_of(folder.path(), std::string(boot) + "-2")));
    CHECK_FALSE(start(folder.path(), next_boot));
    std::filesystem::remove(aside_of(folder.path(), boot)); // as the message says
    CHECK(raises(folder.path(), boot));
}

TEST_CASE("a journal that is gone is begun anew where no change of this boot was recorded in it") {
    const TemporaryDirectory folder;
    std::string now = boot;
    CHECK_FALSE(start(folder.path(), boot));
    SECTION("none ever") {}
    SECTION("those of the boot before") {
        CHECK(raises(folder.path(), boot));
        now = next_boot;
    }
    SECTION("as far as is known: the lock has gone with it") {
        CHECK(raises(folder.path(), boot));
        std::filesystem::remove(folder / "lock");
    }
    remove_journal(folder.path());
    CHECK_FALSE(start(folder.path(), now));
    CHECK(raises(folder.path(), now));
}

TEST_CASE("what is held in a journal is said by its lock, also by one that was made anew") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    SECTION("removed") { std::filesystem::remove(folder / "lock"); }
    SECTION("of an earlier version") { std::ofstream(folder / "lock", std::ios::trunc) << "712\n" << std::flush; }
    CHECK_FALSE(start(folder.path(), boot));
    remove_journal(folder.path());
    CHECK(start(folder.path(), boot));
}

TEST_CASE("a start that was killed when it had remembered that a journal is gone does not forget it") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    remove_journal(folder.path());
    std::ofstream(aside_of(folder.path(), boot)) << std::flush;
    CHECK(start(folder.path(), boot));
    CHECK_FALSE(std::filesystem::exists(aside_of(folder.path(), std::string(boot) + "-2")));
}

TEST_CASE("a damaged journal of which the boot is not known may be of this one") {
    const TemporaryDirectory folder;
    damage(folder.path());
    SECTION("without a lock") {}
    SECTION("with one of an earlier version") { std::ofstream(folder / "lock") << "712\n" << std::flush; }
    CHECK(start(folder.path(), boot));
}

TEST_CASE("a start that ends before the journal is open leaves the boot before in the lock") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    damage(folder.path());
    REQUIRE(lock_state(folder.path(), Nanoseconds(0)));
    CHECK_FALSE(start(folder.path(), next_boot));
}

TEST_CASE("a start that was killed while it set a journal aside is gone on with, and observes") {
    const TemporaryDirectory folder;
    CHECK(raises(folder.path(), boot));
    const std::filesystem::path aside = aside_of(folder.path(), boot);
    std::filesystem::rename(folder / "journal.db", aside);
    std::ofstream(folder / "journal.db-wal") << "log" << std::flush;
    CHECK(start(folder.path(), boot));
    CHECK(std::filesystem::exists(aside.string() + "-wal"));
}

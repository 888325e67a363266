// SPDX-License-Identifier: Apache-2.0
#include "service/journal_at_start.hpp"

#include <fstream>

#include <catch2/catch.hpp>

#include "temporary_directory.hpp"

using namespace bpftune;
using namespace bpftune::service;
using testing::TemporaryDirectory;

namespace {

constexpr auto boot = "8c4dd5ae-0000-4000-8000-000000000001";
constexpr auto next_boot = "8c4dd5ae-0000-4000-8000-000000000002";

// A start in that boot: why its service would write nothing.
std::optional<std::string> start(const std::filesystem::path& state, const std::string& boot_id) {
    auto lock = lock_state(state, Nanoseconds(0));
    REQUIRE(lock);
    const auto journal = open_journal(*lock, boot_id);
    INFO((journal ? "" : journal.error().message));
    REQUIRE(journal);
    CHECK(lock->boot == boot_id);
    return originals_lost(state, boot_id);
}

void damage(const std::filesystem::path& state) {
    std::ofstream(state / "journal.db", std::ios::trunc) << std::string(8192, 'x') << std::flush;
}

} // namespace

TEST_CASE("a journal that is damaged in the boot in which it was written takes its originals with it") {
    const TemporaryDirectory folder;
    CHECK_FALSE(start(folder.path(), boot));
    damage(folder.path());
    for (int i = 0; i < 2; ++i) CHECK_THAT(start(folder.path(), boot).value_or(""), Catch::Contains("Observing until"));
    CHECK_FALSE(start(folder.path(), next_boot));
}

TEST_CASE("after a power failure a damaged journal is of the boot before, of which nothing is left to be put back") {
    const TemporaryDirectory folder;
    CHECK_FALSE(start(folder.path(), boot));
    damage(folder.path());
    CHECK_FALSE(start(folder.path(), next_boot));
    CHECK(std::filesystem::exists(folder / (std::string("journal-damaged-") + boot + ".db")));
    damage(folder.path()); // now it may have had changes of this one
    CHECK(start(folder.path(), next_boot));
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
    CHECK_FALSE(start(folder.path(), boot));
    damage(folder.path());
    REQUIRE(lock_state(folder.path(), Nanoseconds(0)));
    CHECK_FALSE(start(folder.path(), next_boot));
}

TEST_CASE("a start that was killed while it set a journal aside is gone on with, and observes") {
    const TemporaryDirectory folder;
    CHECK_FALSE(start(folder.path(), boot));
    const std::filesystem::path aside = folder / (std::string("journal-damaged-") + boot + ".db");
    std::filesystem::rename(folder / "journal.db", aside);
    std::ofstream(folder / "journal.db-wal") << "log" << std::flush;
    CHECK(start(folder.path(), boot));
    CHECK(std::filesystem::exists(aside.string() + "-wal"));
}

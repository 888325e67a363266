// SPDX-License-Identifier: Apache-2.0
#include "actuators/journal.hpp"

#include "actuators/damaged_journal.hpp"

#include <array>
#include <cstdlib>
#include <fstream>
#include <sstream>

#include <catch2/catch.hpp>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "temporary_directory.hpp"

using namespace bpftune;
using actuators::Holding;
using actuators::Journal;
using testing::TemporaryDirectory;

namespace {

constexpr const char* boot = "8c4dd5ae-0000-4000-8000-000000000001";
constexpr const char* other_boot = "8c4dd5ae-0000-4000-8000-000000000002";

template <class T> T take(Result<T> result) {
    INFO((result ? std::string() : result.error().message));
    REQUIRE(result);
    return std::move(*result);
}

void ok(const Result<>& result) {
    INFO((result ? std::string() : result.error().message));
    REQUIRE(result);
}

WallTime at(std::int64_t seconds) { return WallTime(std::chrono::seconds(seconds)); }

constexpr std::int64_t day = 86400;

Change somaxconn_change(std::uint32_t netns, const std::string& from, const std::string& to) {
    Change change;
    change.time = at(1000 * day);
    change.tunable = TunableId::somaxconn;
    change.scope.netns = {.cookie = 0x8000000000000000ULL + netns, .inode = netns};
    change.scope.netns_pid = 712;
    change.from = from;
    change.to = to;
    change.state = ChangeState::applied;
    change.why = "accept queue reached 97 of 128";
    return change;
}

Change full_change() {
    Change change = somaxconn_change(7, "128", "1024");
    change.tunable = TunableId::listener_backlog;
    change.scope.listener = ListenerRef{.cookie = ~0ULL, .inode = 48211, .local = {"::1", 65535}, .pid = 712, .fd = 6};
    change.scope.pod = Pod{.ns = "shop", .name = "web-0", .container = "", .uid = ""};
    change.why = "a \"name\" with \\x1b, \xff bytes and '; DROP TABLE changes; --";
    change.evidence = {{"queue_peak", 97}, {"arrivals", ~0ULL}};
    return change;
}

std::vector<Change> history(const Journal& journal) { return take(journal.history()); }

Holding only_holding(const Journal& journal) {
    const auto holdings = take(journal.holdings());
    REQUIRE(holdings.size() == 1);
    return holdings[0];
}

ObjectKey key(const Change& change) { return key_of(change.tunable, change.scope); }

void execute(const std::filesystem::path& file, const char* sql) {
    sqlite3* database = nullptr;
    REQUIRE(sqlite3_open(file.c_str(), &database) == SQLITE_OK);
    REQUIRE(sqlite3_exec(database, sql, nullptr, nullptr, nullptr) == SQLITE_OK);
    sqlite3_close(database);
}

// While it lives no read gets what is past `from` in a file whose name ends so: a disk with a bad sector.
class BadSector {
public:
    BadSector(const std::string& file, off_t from) {
        file_ = file;
        from_ = from;
        set("pread", reinterpret_cast<sqlite3_syscall_ptr>(&pread_of));
        set("pread64", reinterpret_cast<sqlite3_syscall_ptr>(&pread_of));
        set("read", reinterpret_cast<sqlite3_syscall_ptr>(&read_of));
    }
    BadSector(const BadSector&) = delete;
    BadSector& operator=(const BadSector&) = delete;
    ~BadSector() {
        for (const char* name : {"pread", "pread64", "read"}) set(name, nullptr);
    }

private:
    static void set(const char* name, sqlite3_syscall_ptr call) {
        sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
        vfs->xSetSystemCall(vfs, name, call);
    }
    static bool is_bad(int fd, off_t end) {
        std::error_code ignored;
        const auto path = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(fd), ignored);
        return path.string().ends_with(file_) && end > from_;
    }
    static ssize_t pread_of(int fd, void* bytes, std::size_t size, off_t offset) {
        if (!is_bad(fd, offset + static_cast<off_t>(size))) return ::pread(fd, bytes, size, offset);
        errno = EIO;
        return -1;
    }
    static ssize_t read_of(int fd, void* bytes, std::size_t size) {
        if (!is_bad(fd, ::lseek(fd, 0, SEEK_CUR) + static_cast<off_t>(size))) return ::read(fd, bytes, size);
        errno = EIO;
        return -1;
    }

    static inline std::string file_;
    static inline off_t from_ = 0;
};

} // namespace

TEST_CASE("keeps every field of a change") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path() / "new" / "state", boot));
    const Change change = full_change();
    const auto id = take(journal.begin(change));
    ok(journal.written(id, std::chrono::microseconds(310)));

    const auto rows = history(journal);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].id == id);
    CHECK(rows[0].time == change.time);
    CHECK(rows[0].boot == boot);
    CHECK(rows[0].tunable == change.tunable);
    CHECK(rows[0].scope == change.scope);
    CHECK(rows[0].original == "128");
    CHECK(rows[0].from == "128");
    CHECK(rows[0].to == "1024");
    CHECK(rows[0].state == ChangeState::applied);
    CHECK(rows[0].why == change.why);
    CHECK(rows[0].evidence == change.evidence);
    CHECK(rows[0].reaction == std::chrono::microseconds(310));
}

TEST_CASE("a change without listener, pod or reaction has none when read") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "1024");
    take(journal.begin(change));
    const auto rows = history(journal);
    REQUIRE(rows.size() == 1);
    CHECK(rows[0].scope == change.scope);
    CHECK(rows[0].reaction == std::nullopt);
    CHECK(rows[0].evidence.empty());
}

TEST_CASE("bytes that are no UTF-8 in evidence do not throw") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change change = full_change();
    change.evidence = {{"\xff\xc3", 1}};
    take(journal.begin(change));
    CHECK(history(journal)[0].evidence.size() == 1);
}

TEST_CASE("the original is that of the first row that is held") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const auto first = take(journal.begin(somaxconn_change(7, "128", "1024")));
    const auto second = take(journal.begin(somaxconn_change(7, "1024", "4096")));
    ok(journal.written(first, {}));

    const Holding held = only_holding(journal);
    CHECK(held.original == "128");
    CHECK(held.current == "4096");
    CHECK(held.previous == "1024");
    CHECK_FALSE(held.confirmed);
    CHECK(held.rows == std::vector{first, second});
    CHECK(history(journal)[1].original == "128");

    ok(journal.written(second, {}));
    CHECK(take(journal.holdings())[0].confirmed);
}

TEST_CASE("objects are told apart by tunable, namespace cookie and listener") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change change = full_change();
    take(journal.begin(change));
    change.scope.listener->cookie = 5;
    take(journal.begin(change));
    change.tunable = TunableId::somaxconn; // whose cause the listener is, not its object
    take(journal.begin(change));
    change.scope.listener->cookie = 6;
    take(journal.begin(change));
    change.scope.netns.cookie += 1; // the same inode number, used again
    take(journal.begin(change));
    CHECK(take(journal.holdings()).size() == 4);
}

TEST_CASE("a holding's hints are those of its newest row") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change change = full_change();
    take(journal.begin(change));
    change.scope.listener->pid = 999;
    take(journal.begin(change));
    CHECK(take(journal.holdings())[0].scope == change.scope);
}

TEST_CASE("what was recommended, advised, failed or gone is not held") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change change = somaxconn_change(7, "128", "1024");
    const auto failed = take(journal.begin(change));
    ok(journal.failed(failed, "write 1024: Read-only file system"));
    change.state = ChangeState::recommended;
    take(journal.begin(change));
    change.state = ChangeState::advice;
    change.from = change.to = "";
    take(journal.begin(change));
    ok(journal.gone(take(journal.begin(somaxconn_change(7, "128", "1024")))));
    CHECK(take(journal.holdings()).empty());
    const auto rows = history(journal);
    CHECK(rows[0].state == ChangeState::failed);
    CHECK(rows[0].why == "accept queue reached 97 of 128; failed: write 1024: Read-only file system");
    CHECK(rows[1].state == ChangeState::recommended);
    CHECK(rows[2].state == ChangeState::advice);
    CHECK(rows[2].to.empty());
    CHECK(rows[3].state == ChangeState::gone);
    CHECK(rows[3].why == "accept queue reached 97 of 128; gone before it could be written");
}

TEST_CASE("a journal that was removed or replaced takes no rows, and knows what it held") {
    const bool replaced = GENERATE(false, true);
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    ok(journal.written(take(journal.begin(somaxconn_change(7, "128", "1024"))), {}));
    CHECK(journal.is_in_its_place());
    for (const char* file : {"journal.db", "journal.db-wal", "journal.db-shm"})
        std::filesystem::remove(directory.path() / file);
    if (replaced) static_cast<void>(take(Journal::open(directory.path(), boot)));
    const std::array more{somaxconn_change(8, "128", "1024")};
    CHECK_FALSE(journal.is_in_its_place());
    CHECK(journal.begin(more).error().message.find("removed or replaced") != std::string::npos);
    CHECK(journal.checkpoint().error().message.find("removed or replaced") != std::string::npos);
    CHECK(only_holding(journal).original == "128");
}

TEST_CASE("a failed write does not end what an earlier one holds") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    ok(journal.written(take(journal.begin(somaxconn_change(7, "128", "1024"))), {}));
    ok(journal.failed(take(journal.begin(somaxconn_change(7, "1024", "4096"))), "no"));
    const Holding held = only_holding(journal);
    CHECK(held.current == "1024");
    CHECK(held.confirmed);
}

TEST_CASE("settling concerns every held row of one object and only those") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "1024");
    take(journal.begin(change));
    take(journal.begin(somaxconn_change(7, "1024", "4096")));
    take(journal.begin(somaxconn_change(8, "128", "1024")));

    ok(journal.settle(key(change), ChangeState::kept));
    CHECK(take(journal.holdings()).size() == 2);
    CHECK(history(journal)[2].state == ChangeState::applied);

    ok(journal.settle(key(change), ChangeState::restored));
    const Holding held = only_holding(journal);
    CHECK(held.scope.netns.inode == 8);
    CHECK(history(journal)[0].state == ChangeState::restored);
    CHECK(history(journal)[1].state == ChangeState::restored);

    take(journal.begin(somaxconn_change(7, "256", "512"))); // a new beginning has a new original
    CHECK(take(journal.holdings())[1].original == "256");
}

TEST_CASE("a verdict is about the rows on trial, and adds its evidence to theirs") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change change = somaxconn_change(7, "128", "512");
    change.evidence = {{"queue_peak", 97}};
    take(journal.begin(change));
    ok(journal.kept(key(change), "none was lost", {{"demand_after", 700}, {"loss_after_per_1000", 0}}));
    CHECK_FALSE(take(journal.holdings())[0].before_trial);
    CHECK(take(journal.holdings())[0].evidence.front() == Evidence{"queue_peak", 97});

    take(journal.begin(somaxconn_change(7, "512", "2048")));
    take(journal.begin(somaxconn_change(7, "2048", "4096")));
    CHECK(take(journal.holdings())[0].before_trial == "512");
    ok(journal.rolling_back(key(change)));
    ok(journal.rolled_back(key(change), "lost 9 of 10", {{"demand_after", 10}}));

    const auto rows = history(journal);
    CHECK(rows[0].state == ChangeState::kept);
    CHECK(rows[0].why == "accept queue reached 97 of 128; kept: none was lost");
    CHECK(rows[0].evidence ==
          std::vector<Evidence>{{"queue_peak", 97}, {"demand_after", 700}, {"loss_after_per_1000", 0}});
    CHECK(rows[1].state == ChangeState::rolled_back);
    CHECK(rows[2].state == ChangeState::rolled_back);
    CHECK(rows[2].why == "accept queue reached 97 of 128; rolled back: lost 9 of 10");
    CHECK(rows[2].evidence == std::vector<Evidence>{{"demand_after", 10}});
    const Holding held = only_holding(journal); // what was kept before still is
    CHECK(held.original == "128");
    CHECK(held.current == "512");
}

TEST_CASE("what is being rolled back when the service dies may have either value, and is held until that is known") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "512");
    ok(journal.written(take(journal.begin(change)), {}));
    ok(journal.written(take(journal.begin(somaxconn_change(7, "512", "2048"))), {}));
    ok(journal.rolling_back(key(change)));

    const Holding held = only_holding(journal);
    CHECK(held.rolling_back);
    CHECK_FALSE(held.confirmed);
    CHECK(held.current == "2048");
    CHECK(held.previous == "128");

    SECTION("not written after all") {
        ok(journal.not_rolled_back(key(change)));
        CHECK(take(journal.holdings())[0].confirmed);
        CHECK_FALSE(take(journal.holdings())[0].rolling_back);
        CHECK(history(journal)[1].state == ChangeState::applied);
    }
    SECTION("restored") {
        ok(journal.settle(key(change), ChangeState::restored));
        CHECK(take(journal.holdings()).empty());
        CHECK(history(journal)[0].state == ChangeState::restored);
    }
}

TEST_CASE("a part that is being given back when the service dies is on no trial, and may have either value") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "1024");
    ok(journal.written(take(journal.begin(change)), {}));
    CHECK_FALSE(take(journal.holdings())[0].giving_back);
    ok(journal.kept(key(change), "none was lost", {}));
    const std::int64_t row = take(journal.begin(somaxconn_change(7, "1024", "512")));

    const Holding held = only_holding(journal);
    CHECK(held.giving_back);
    CHECK_FALSE(held.before_trial);
    CHECK_FALSE(held.confirmed);
    CHECK(held.original == "128");
    CHECK(held.current == "512");
    CHECK(held.previous == "1024");

    SECTION("written, and kept") {
        ok(journal.settle(key(change), ChangeState::kept));
        CHECK_FALSE(take(journal.holdings())[0].giving_back);
        CHECK(take(journal.holdings())[0].current == "512");
    }
    SECTION("not written after all") {
        ok(journal.failed(row, "found unwritten at the next start"));
        CHECK(take(journal.holdings())[0].current == "1024");
    }
}

TEST_CASE("nothing begins or settles in a state that makes no sense") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change change = somaxconn_change(7, "128", "1024");
    CHECK_FALSE(journal.settle(key(change), ChangeState::applied));
    CHECK_FALSE(journal.settle(key(change), ChangeState::recommended));
    change.state = ChangeState::yielded;
    CHECK_FALSE(journal.begin(change));
    CHECK_FALSE(journal.written(99, {}));
    CHECK_FALSE(journal.failed(99, "no"));
}

TEST_CASE("of a yielded object the newest row alone says so") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "1024");
    take(journal.begin(change));
    take(journal.begin(somaxconn_change(7, "1024", "4096")));
    ok(journal.yielded(key(change), "tuned (pid 812) set it to 300"));
    CHECK(take(journal.holdings()).empty());
    const auto rows = history(journal);
    CHECK(rows[0].state == ChangeState::kept);
    CHECK(rows[0].why == "accept queue reached 97 of 128");
    CHECK(rows[1].state == ChangeState::yielded);
    CHECK(rows[1].why == "accept queue reached 97 of 128; tuned (pid 812) set it to 300");
}

TEST_CASE("what is put back over someone else's value has the true original, and theirs is none of ours") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "1024");
    Change put_back = somaxconn_change(7, "300", "1024");
    take(journal.begin(change));
    SECTION("while it is on trial") {
        take(journal.begin(put_back));
        CHECK(take(journal.holdings())[0].before_trial == "128");
    }
    SECTION("after that") {
        ok(journal.kept(key(change), "none was lost", {}));
        put_back.state = ChangeState::kept;
        take(journal.begin(put_back));
        CHECK_FALSE(take(journal.holdings())[0].before_trial);
    }
    const Holding held = only_holding(journal);
    CHECK(held.original == "128");
    CHECK(held.current == "1024");
    CHECK(held.previous == "1024");
    CHECK(history(journal)[1].from == "300");
}

TEST_CASE("rows of an object that has gone keep their states and are not held") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change change = somaxconn_change(7, "128", "1024");
    take(journal.begin(change));
    ok(journal.settle(key(change), ChangeState::kept));
    ok(journal.release(key(change)));
    CHECK(take(journal.holdings()).empty());
    CHECK(history(journal)[0].state == ChangeState::kept);
}

TEST_CASE("rows of another boot are history and no holdings") {
    const TemporaryDirectory directory;
    {
        auto journal = take(Journal::open(directory.path(), other_boot));
        take(journal.begin(somaxconn_change(7, "128", "1024")));
    }
    auto journal = take(Journal::open(directory.path(), boot));
    CHECK(take(journal.holdings()).empty());
    CHECK(history(journal).size() == 1);
    take(journal.begin(somaxconn_change(7, "4096", "8192")));
    CHECK(take(journal.holdings())[0].original == "4096");
}

TEST_CASE("history begins at the time asked for") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    for (const int second : {10, 20, 30}) {
        Change change = somaxconn_change(7, "128", "1024");
        change.time = at(second);
        take(journal.begin(change));
    }
    const auto rows = take(journal.history(at(20)));
    REQUIRE(rows.size() == 2);
    CHECK(rows[0].time == at(20));
}

TEST_CASE("what was begun survives kill -9 without a checkpoint") {
    const TemporaryDirectory directory;
    const pid_t child = ::fork();
    REQUIRE(child >= 0);
    if (child == 0) {
        auto journal = Journal::open(directory.path(), boot);
        const bool begun = journal && journal->begin(somaxconn_change(7, "128", "1024"));
        ::kill(::getpid(), begun ? SIGKILL : SIGTERM);
    }
    int status = 0;
    REQUIRE(::waitpid(child, &status, 0) == child);
    REQUIRE(WTERMSIG(status) == SIGKILL);
    SECTION("for the next service") {
        auto journal = take(Journal::open(directory.path(), boot));
        CHECK(take(journal.holdings())[0].original == "128");
    }
    SECTION("for history, which leaves the log as it is") {
        const auto log = directory.path() / "journal.db-wal";
        const auto size = std::filesystem::file_size(log);
        {
            const auto journal = take(Journal::open_read_only(directory.path(), boot));
            CHECK(history(journal).size() == 1);
        }
        CHECK(std::filesystem::file_size(log) == size);
    }
}

TEST_CASE("a reader sees what a live service has written, and stops nobody") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    take(journal.begin(somaxconn_change(7, "128", "1024")));
    const auto reader = take(Journal::open_read_only(directory.path(), boot));
    CHECK(history(reader).size() == 1);
    take(journal.begin(somaxconn_change(8, "128", "1024")));
    ok(journal.checkpoint());
    take(journal.begin(somaxconn_change(9, "128", "1024")));
    CHECK(history(reader).size() == 3);
    CHECK(take(reader.holdings()).size() == 3);
}

TEST_CASE("a reader writes nothing") {
    const TemporaryDirectory directory;
    CHECK(history(take(Journal::open_read_only(directory.path(), boot))).empty());
    CHECK(std::filesystem::is_empty(directory.path()));
    take(take(Journal::open(directory.path(), boot)).begin(somaxconn_change(7, "128", "1024")));

    auto reader = take(Journal::open_read_only(directory.path(), boot));
    CHECK(history(reader).size() == 1);
    CHECK_FALSE(reader.begin(somaxconn_change(7, "128", "1024")));
    CHECK_FALSE(reader.begin(std::array{somaxconn_change(7, "128", "1024")}));
    CHECK_FALSE(reader.checkpoint());
    const std::filesystem::directory_iterator files(directory.path());
    CHECK(std::distance(begin(files), end(files)) == 1);
}

TEST_CASE("a directory with every kind of character in its name is opened to read") {
    const TemporaryDirectory directory;
    const auto odd = directory.path() / "a?b=c&d#e%20f \xff";
    take(take(Journal::open(odd, boot)).begin(somaxconn_change(7, "128", "1024")));
    CHECK(history(take(Journal::open_read_only(odd, boot))).size() == 1);
}

TEST_CASE("the log does not grow while it is checkpointed") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const auto log = directory.path() / "journal.db-wal";
    const auto write_some = [&] {
        for (int i = 0; i < 50; ++i) take(journal.begin(somaxconn_change(7, "128", "1024")));
        ok(journal.checkpoint());
    };
    write_some();
    const auto size = std::filesystem::file_size(log);
    for (int i = 0; i < 5; ++i) write_some();
    CHECK(std::filesystem::file_size(log) <= 2 * size);
}

// SQLite syncs the header of a log that it begins anew: walRestartLog(), syncHeader. Bytes 12 to 15: how often it did.
TEST_CASE("the first row after a checkpoint does not wait for the disk") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const auto times_begun = [&] {
        std::ifstream log(directory.path() / "journal.db-wal", std::ios::binary);
        std::array<char, 16> header{};
        REQUIRE(log.read(header.data(), header.size()));
        return std::string(header.data() + 12, 4);
    };
    ok(journal.checkpoint());
    const auto before = times_begun();
    take(journal.begin(somaxconn_change(7, "128", "1024")));
    CHECK(times_begun() == before);
    ok(journal.checkpoint());
    CHECK(times_begun() != before);
    CHECK(history(journal).size() == 1);
}

TEST_CASE("changes that begin at one go are all recorded, in their order, or none is") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const std::array changes{somaxconn_change(7, "128", "1024"), full_change()};
    const auto rows = take(journal.begin(changes));
    REQUIRE(rows.size() == 2);
    const auto recorded = take(journal.history());
    REQUIRE(recorded.size() == 2);
    for (std::size_t i = 0; i < 2; ++i) {
        CHECK(recorded[i].id == rows[i]);
        CHECK(recorded[i].tunable == changes[i].tunable);
    }

    Change no_beginning = full_change();
    no_beginning.state = ChangeState::yielded;
    CHECK_FALSE(journal.begin(std::array{somaxconn_change(8, "128", "1024"), no_beginning}));
    CHECK(take(journal.history()).size() == 2);
    take(journal.begin(somaxconn_change(8, "128", "1024")));
}

TEST_CASE("directory and database are not for everyone") {
    const TemporaryDirectory directory;
    const auto state = directory.path() / "state";
    take(Journal::open(state, boot));
    struct stat status{};
    REQUIRE(::stat(state.c_str(), &status) == 0);
    CHECK((status.st_mode & 0777) == 0750);
    REQUIRE(::stat((state / "journal.db").c_str(), &status) == 0);
    CHECK((status.st_mode & 0137) == 0);
}

TEST_CASE("a journal of an earlier version goes on, with what its service holds") {
    const TemporaryDirectory directory;
    const Change change = somaxconn_change(7, "128", "1024");
    take(take(Journal::open(directory.path(), boot)).begin(change));
    execute(directory.path() / "journal.db",
            "ALTER TABLE changes DROP COLUMN device; ALTER TABLE changes DROP COLUMN ifindex; "
            "ALTER TABLE changes DROP COLUMN queue; PRAGMA user_version = 2");
    SECTION("the first") {
        execute(directory.path() / "journal.db", "ALTER TABLE changes DROP COLUMN undoing; PRAGMA user_version = 1");
    }
    SECTION("the second") {}
    CHECK(take(take(Journal::open_read_only(directory.path(), boot)).history()).size() == 1);
    auto journal = take(Journal::open(directory.path(), boot));
    const Holding held = only_holding(journal);
    CHECK(held.original == "128");
    CHECK_FALSE(held.undoing);
}

TEST_CASE("receive queues are objects of their own, known by the index of their device and their number") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    Change first = somaxconn_change(7, "0", "2");
    first.tunable = TunableId::rps_cpus;
    first.scope.queue = QueueRef{.device = "eth0", .ifindex = 2, .queue = 0};
    Change second = first;
    second.scope.queue->queue = 1;
    Change third = first;
    third.scope.queue = QueueRef{.device = "eth1", .ifindex = 3, .queue = 0};
    for (const Change& change : {first, second, third}) take(journal.begin(change));
    ok(journal.release(key(second)));
    const auto held = take(journal.holdings());
    REQUIRE(held.size() == 2);
    CHECK(held[0].scope == first.scope);
    CHECK(held[1].scope == third.scope);
    CHECK(held[1].current == "2");
    CHECK(history(journal)[1].scope == second.scope);
}

TEST_CASE("what is to go back is held with its original, until something else is begun") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change raise = somaxconn_change(7, "128", "1024");
    take(journal.begin(raise));
    ok(journal.undoing(key(raise), true));
    CHECK(take(journal.holdings())[0].undoing);
    CHECK(take(journal.holdings())[0].original == "128");
    SECTION("a raise") { take(journal.begin(somaxconn_change(7, "1024", "2048"))); }
    SECTION("or it is told so") { ok(journal.undoing(key(raise), false)); }
    CHECK_FALSE(take(journal.holdings())[0].undoing);
    CHECK(take(journal.holdings())[0].original == "128");
}

TEST_CASE("all that is held can be said to go back") {
    const TemporaryDirectory directory;
    take(take(Journal::open(directory.path(), other_boot)).begin(somaxconn_change(6, "128", "1024")));
    auto journal = take(Journal::open(directory.path(), boot));
    const Change over = somaxconn_change(7, "128", "1024");
    take(journal.begin(over));
    ok(journal.settle(key(over), ChangeState::restored));
    for (const std::uint32_t netns : {8U, 9U}) take(journal.begin(somaxconn_change(netns, "128", "1024")));
    ok(journal.all_undoing());
    const auto held = take(journal.holdings());
    REQUIRE(held.size() == 2);
    for (const Holding& each : held) CHECK(each.undoing);
    auto of_other_boot = take(Journal::open(directory.path(), other_boot));
    CHECK_FALSE(only_holding(of_other_boot).undoing);
}

TEST_CASE("what is recorded at one go is recorded as a whole or not at all") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    const Change first = somaxconn_change(7, "128", "1024");
    const Change second = somaxconn_change(8, "128", "1024");
    take(journal.begin(first));
    take(journal.begin(second));
    const auto release_both = [&](const Result<>& end) {
        return journal.at_one_go([&] {
            ok(journal.release(key(first)));
            ok(journal.release(key(second)));
            return end;
        });
    };
    CHECK(release_both(failure("something else")).error().message == "something else");
    CHECK(take(journal.holdings()).size() == 2);
    ok(release_both({}));
    CHECK(take(journal.holdings()).empty());
}

TEST_CASE("a journal of a newer version is refused") {
    const TemporaryDirectory directory;
    take(Journal::open(directory.path(), boot));
    execute(directory.path() / "journal.db", "PRAGMA user_version = 4");
    for (const auto& opened :
         {Journal::open(directory.path(), boot), Journal::open_read_only(directory.path(), boot)}) {
        REQUIRE_FALSE(opened);
        CHECK(opened.error().message == "journal " + (directory.path() / "journal.db").string() +
                                            ": written by a newer version of bpftune-k8s (schema 4, this one knows 3)");
    }
}

TEST_CASE("a journal, or a log beside it, that is a link or a pipe is refused, and what it stands for stays") {
    const TemporaryDirectory directory;
    take(Journal::open(directory / "other", boot));
    const auto size = std::filesystem::file_size(directory / "other" / "journal.db");
    std::filesystem::create_directory(directory / "state");
    const std::string name = GENERATE("journal.db", "journal.db-wal", "journal.db-shm");
    const auto refused = [&] {
        const auto opened = Journal::open(directory / "state", boot);
        return opened ? "opened" : opened.error().message;
    };
    std::filesystem::create_symlink("../other/journal.db", directory / "state" / name);
    CHECK_THAT(refused(),
               Catch::StartsWith("journal: ") && Catch::Contains(name + " is a link, which is not followed"));
    CHECK(std::filesystem::file_size(directory / "other" / "journal.db") == size);
    std::filesystem::remove(directory / "state" / name);
    REQUIRE(::mkfifo((directory / "state" / name).c_str(), 0600) == 0);
    CHECK_THAT(refused(), Catch::Contains(name + " is not a regular file"));
}

TEST_CASE("a history that is a pipe is waited for by nobody") {
    const TemporaryDirectory directory;
    REQUIRE(::mkfifo((directory / "journal.db").c_str(), 0600) == 0);
    const auto opened = Journal::open_read_only(directory.path(), boot);
    REQUIRE_FALSE(opened);
    CHECK_THAT(opened.error().message, Catch::EndsWith("journal.db: not a regular file"));
}

TEST_CASE("a damaged journal is refused as damaged") {
    const TemporaryDirectory directory;
    std::ofstream(directory.path() / "journal.db") << std::string(8192, 'x');
    for (const auto& opened :
         {Journal::open(directory.path(), boot), Journal::open_read_only(directory.path(), boot)}) {
        REQUIRE_FALSE(opened);
        CHECK_THAT(opened.error().message, Catch::EndsWith("damaged (file is not a database)"));
        CHECK(opened.error().code == Journal::damaged);
    }
}

TEST_CASE("a journal that was cut short is refused") {
    const TemporaryDirectory directory;
    {
        auto journal = take(Journal::open(directory.path(), boot));
        for (int i = 0; i < 200; ++i) take(journal.begin(full_change()));
    }
    std::filesystem::resize_file(directory.path() / "journal.db", 3 * 4096);
    const auto opened = Journal::open(directory.path(), boot);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message.find("damaged") != std::string::npos);
    CHECK(opened.error().code == Journal::damaged);
}

TEST_CASE("a journal that cannot be read is not a damaged one, and is read when the disk can be") {
    const TemporaryDirectory directory;
    for (const std::string state : {"left", "copied"}) std::filesystem::create_directory(directory / state);
    {
        auto journal = take(Journal::open(directory / "left", boot));
        for (int i = 0; i < 200; ++i) take(journal.begin(full_change()));
        ok(journal.checkpoint());
        take(journal.begin(full_change()));
        for (const std::string file : {"journal.db", "journal.db-wal"}) // as a service that is killed leaves them
            std::filesystem::copy_file(directory / "left" / file, directory / "copied" / file);
    }
    const auto [file, from] = GENERATE(
        table<std::string, off_t>({{"journal.db", 0}, {"journal.db", 4096}, {"journal.db", 12288}, {"-wal", 0}}));
    INFO(file << " from " << from);
    {
        const BadSector bad(file, from);
        const auto opened = Journal::open(directory / "copied", boot);
        REQUIRE_FALSE(opened);
        INFO(opened.error().message);
        CHECK(Journal::is_of_disk(opened.error()));
    }
    CHECK(history(take(Journal::open(directory / "copied", boot))).size() == 201);
}

TEST_CASE("a database without the tables of a journal is a damaged one") {
    const TemporaryDirectory directory;
    take(Journal::open(directory.path(), boot));
    execute(directory.path() / "journal.db", "DROP TABLE changes; CREATE TABLE changes(id INTEGER PRIMARY KEY)");
    const auto opened = Journal::open(directory.path(), boot);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Journal::damaged);
}

TEST_CASE(
    "a file that says to be of no version, or of one that it is not, is damaged, and none that is tried for ever") {
    const TemporaryDirectory directory;
    take(Journal::open(directory.path(), boot));
    const std::string statement = GENERATE("PRAGMA user_version = 0", "PRAGMA user_version = -7",
                                           "PRAGMA user_version = 0; ALTER TABLE changes RENAME TO others",
                                           "PRAGMA user_version = 1", "PRAGMA user_version = 2; DROP TABLE changes");
    INFO(statement);
    execute(directory.path() / "journal.db", statement.c_str());
    const auto opened = Journal::open(directory.path(), boot);
    REQUIRE_FALSE(opened);
    CHECK_THAT(opened.error().message, Catch::Contains("journal.db: damaged ("));
    CHECK(opened.error().code == Journal::damaged);
}

TEST_CASE("a log without its journal is that of a damaged one, and stays") {
    const TemporaryDirectory directory;
    const bool is_empty = GENERATE(false, true); // or missing
    if (is_empty) std::ofstream(directory / "journal.db") << std::flush;
    std::ofstream(directory / "journal.db-wal") << "log" << std::flush;
    const auto opened = Journal::open(directory.path(), boot);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Journal::damaged);
    CHECK(std::filesystem::exists(directory / "journal.db") == is_empty);
    CHECK(std::filesystem::file_size(directory / "journal.db-wal") == 3);
}

TEST_CASE("where changes were recorded a journal that is missing or empty is begun by nobody") {
    const TemporaryDirectory directory;
    const bool is_empty = GENERATE(false, true);
    if (is_empty) std::ofstream(directory / "journal.db") << std::flush;
    const auto opened = Journal::open(directory.path(), boot, Journal::IfNone::refuse);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().code == Journal::damaged);
    CHECK(opened.error().message == "journal: " + (directory / "journal.db").string() +
                                        (is_empty ? " is empty" : " is missing") +
                                        ", and changes of this boot were recorded in it");
    CHECK(std::filesystem::exists(directory / "journal.db") == is_empty);
    take(Journal::open(directory.path(), boot));
    take(Journal::open(directory.path(), boot, Journal::IfNone::refuse));
}

TEST_CASE("a journal that is closed takes and tells nothing, and says why") {
    Journal journal = Journal::closed({"the disk is full", ENOSPC});
    CHECK(journal.why_closed()->message == "the disk is full");
    const auto is_refused = [](const auto& result) {
        REQUIRE_FALSE(result);
        CHECK(result.error().message == "the disk is full");
    };
    const Change change = full_change();
    is_refused(journal.begin(change));
    is_refused(journal.begin(std::span(&change, 1)));
    is_refused(journal.settle(key(change), ChangeState::kept));
    is_refused(journal.holdings());
    is_refused(journal.history());
    is_refused(journal.checkpoint());
    const TemporaryDirectory directory;
    CHECK_FALSE(take(Journal::open(directory.path(), boot)).why_closed());
}

TEST_CASE("whoever is killed while a journal is set aside has it set aside, and the log goes to it later") {
    const TemporaryDirectory directory;
    const std::filesystem::path aside = directory / (std::string("journal-damaged-") + boot + ".db");
    std::ofstream(directory / "journal.db-wal") << "log" << std::flush;
    SECTION("after the first of its two names") {
        std::ofstream(aside) << "journal" << std::flush;
        CHECK(actuators::journal_set_aside(directory.path(), boot) == aside);
        CHECK(take(actuators::set_journal_aside(directory.path(), boot)) == aside);
    }
    SECTION("before, which a new one begins with again") {
        std::ofstream(directory / "journal.db") << "journal" << std::flush;
        CHECK(take(actuators::set_journal_aside(directory.path(), boot)) == aside);
    }
    CHECK(std::filesystem::file_size(aside) == 7);
    CHECK(std::filesystem::file_size(aside.string() + "-wal") == 3);
    std::filesystem::remove(aside);
    CHECK(actuators::journal_set_aside(directory.path(), boot) == aside.string() + "-wal");
}

TEST_CASE("a journal that is not there is remembered once, by an empty file in the place of one that is set aside") {
    const TemporaryDirectory directory;
    const std::filesystem::path aside = directory / (std::string("journal-damaged-") + boot + ".db");
    for (int i = 0; i < 2; ++i) {
        CHECK(take(actuators::set_journal_aside(directory.path(), boot)) == aside);
        CHECK(actuators::is_empty(aside));
        CHECK(actuators::journal_set_aside(directory.path(), boot) == aside);
    }
    std::ofstream(aside) << "journal" << std::flush;
    CHECK(take(actuators::set_journal_aside(directory.path(), boot)) == aside);
    CHECK_FALSE(actuators::is_empty(aside));
}

TEST_CASE("a journal that is set aside is put to no log of another") {
    const TemporaryDirectory directory;
    const std::filesystem::path first = directory / (std::string("journal-damaged-") + boot + ".db");
    std::ofstream(first.string() + "-wal") << "of one that was taken away" << std::flush;
    for (int i = 2; i < 10; ++i) {
        std::ofstream(directory / "journal.db") << i << std::flush;
        const auto aside = take(actuators::set_journal_aside(directory.path(), boot));
        CHECK(aside != first);
        std::ofstream(aside.string() + "-wal") << "log" << std::flush;
    }
    std::ofstream(directory / "journal.db") << "last" << std::flush; // takes the ninth place
    const auto aside = take(actuators::set_journal_aside(directory.path(), boot));
    CHECK(std::filesystem::file_size(aside) == 4);
    CHECK_FALSE(std::filesystem::exists(aside.string() + "-wal"));
}

TEST_CASE("what the file of a journal says is made safe to print in errors") {
    const TemporaryDirectory directory;
    auto journal = take(Journal::open(directory.path(), boot));
    take(journal.begin(full_change()));
    execute(directory.path() / "journal.db", "UPDATE changes SET state = 'x' || char(27) || '[2J'");
    REQUIRE_FALSE(journal.history());
    CHECK_THAT(journal.history().error().message, Catch::EndsWith(R"("x\x1b[2J" is no state)"));
    execute(directory.path() / "journal.db", "UPDATE changes SET state = 'kept', tunable = char(27)");
    REQUIRE_FALSE(journal.holdings());
    CHECK_THAT(journal.holdings().error().message, Catch::Contains(R"(holds \x1b, which)"));
}

TEST_CASE("a journal that is set aside keeps its log, and of one boot nine are kept") {
    const TemporaryDirectory directory;
    const auto set_aside = [&](const std::string& text) {
        for (const char* beside : {"", "-wal", "-shm"})
            std::ofstream(directory / (std::string("journal.db") + beside)) << text << beside << std::flush;
        return take(actuators::set_journal_aside(directory.path(), boot)).filename().string();
    };
    const auto contents = [&](const std::string& name) {
        std::ostringstream text;
        text << std::ifstream(directory / name).rdbuf();
        return text.str();
    };
    const std::string name = std::string("journal-damaged-") + boot;
    CHECK_FALSE(actuators::journal_set_aside(directory.path(), boot));
    CHECK(set_aside("first") == name + ".db");
    CHECK(set_aside("second") == name + "-2.db");
    CHECK(actuators::journal_set_aside(directory.path(), boot) == directory / (name + ".db"));
    CHECK_FALSE(actuators::journal_set_aside(directory.path(), other_boot));
    for (int i = 3; i < 12; ++i) set_aside("later " + std::to_string(i));
    CHECK(contents(name + ".db") == "first");
    CHECK(contents(name + ".db-wal") == "first-wal");
    CHECK(contents(name + "-9.db-wal") == "later 11-wal");
    std::filesystem::remove(directory / (name + ".db"));
    for (const auto& entry : std::filesystem::directory_iterator(directory.path()))
        CHECK_THAT(entry.path().filename().string(), Catch::StartsWith("journal-damaged-"));
}

TEST_CASE("a directory that cannot be is an error that names it") {
    const auto opened = Journal::open("/proc/bpftune", boot);
    REQUIRE_FALSE(opened);
    CHECK(opened.error().message.find("/proc/bpftune") != std::string::npos);
}

TEST_CASE("opening deletes old rows of other boots only") {
    const TemporaryDirectory directory;
    const auto fill = [&](const char* id, std::int64_t time) {
        auto journal = take(Journal::open(directory.path(), id));
        Change change = somaxconn_change(7, "128", "1024");
        change.time = at(time);
        take(journal.begin(change));
    };
    fill(other_boot, 9 * day);
    fill(other_boot, 10 * day);
    fill(boot, 0);
    fill(boot, 100 * day);
    const auto rows = history(take(Journal::open(directory.path(), boot)));
    REQUIRE(rows.size() == 3);
    CHECK(rows[0].time == at(10 * day));
    CHECK(rows[1].boot == boot);
}

TEST_CASE("opening leaves the newest hundred thousand rows") {
    const TemporaryDirectory directory;
    take(take(Journal::open(directory.path(), other_boot)).begin(somaxconn_change(7, "128", "1024")));
    execute(directory.path() / "journal.db",
            "CREATE TABLE more AS SELECT * FROM changes;"
            "UPDATE more SET id = NULL;"
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100004)"
            "INSERT INTO changes SELECT more.* FROM more, n; DROP TABLE more;");
    CHECK(history(take(Journal::open(directory.path(), boot))).size() == 100000);
}

TEST_CASE("a held tunable of another version is not passed over") {
    const TemporaryDirectory directory;
    take(take(Journal::open(directory.path(), boot)).begin(somaxconn_change(7, "128", "1024")));
    execute(directory.path() / "journal.db", "UPDATE changes SET tunable = 'net.ipv4.tcp_later'");
    const auto journal = take(Journal::open(directory.path(), boot));
    const auto holdings = journal.holdings();
    REQUIRE_FALSE(holdings);
    CHECK(holdings.error().message.find("net.ipv4.tcp_later") != std::string::npos);
    CHECK(history(journal).empty());
}

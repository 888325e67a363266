// SPDX-License-Identifier: Apache-2.0
#include "actuators/journal.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <map>
#include <utility>

#include <fcntl.h>
#include <nlohmann/json.hpp>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "actuators/sqlite.hpp"
#include "core/parse.hpp"
#include "core/text.hpp"
#include "sys/own_files.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

namespace bpftune::actuators {
namespace {

using sqlite::Statement;

constexpr int schema_version = 3;
constexpr int busy_ms = 2000;

// `object` is ObjectKey::listener_cookie. `held` is apart from `state`: a row that is kept in history is not held any
// more when someone else took the object over.
constexpr const char* schema = R"(
BEGIN IMMEDIATE;
CREATE TABLE changes(
    id INTEGER PRIMARY KEY, time_ms INTEGER NOT NULL, boot TEXT NOT NULL, tunable TEXT NOT NULL,
    netns_cookie INTEGER NOT NULL, netns_inode INTEGER NOT NULL, netns_pid INTEGER NOT NULL, object INTEGER NOT NULL,
    listener_cookie INTEGER, listener_inode INTEGER, listener_address TEXT, listener_port INTEGER,
    listener_pid INTEGER, listener_fd INTEGER, pod_namespace TEXT, pod_name TEXT, pod_container TEXT,
    original TEXT NOT NULL, from_value TEXT NOT NULL, to_value TEXT NOT NULL,
    state TEXT NOT NULL, held INTEGER NOT NULL, confirmed INTEGER NOT NULL DEFAULT 0,
    why TEXT NOT NULL, evidence TEXT NOT NULL, reaction_us INTEGER, undoing INTEGER NOT NULL DEFAULT 0,
    device TEXT, ifindex INTEGER, queue INTEGER);
CREATE INDEX changes_held ON changes(boot, tunable, netns_cookie, netns_inode, object) WHERE held = 1;
PRAGMA user_version = 3;
COMMIT;)";

// A journal of an earlier version goes on: its rows of this boot are held as before.
constexpr const char* from_schema_1 = R"(
BEGIN IMMEDIATE;
ALTER TABLE changes ADD COLUMN undoing INTEGER NOT NULL DEFAULT 0;
PRAGMA user_version = 2;
COMMIT;)";

constexpr const char* from_schema_2 = R"(
BEGIN IMMEDIATE;
ALTER TABLE changes ADD COLUMN device TEXT;
ALTER TABLE changes ADD COLUMN ifindex INTEGER;
ALTER TABLE changes ADD COLUMN queue INTEGER;
PRAGMA user_version = 3;
COMMIT;)";

constexpr const char* retention = R"(
DELETE FROM changes WHERE boot <> ?1
    AND (time_ms < (SELECT max(time_ms) FROM changes) - 90 * 86400000
        OR id NOT IN (SELECT id FROM changes ORDER BY id DESC LIMIT 100000)))";

#define OF_OBJECT "held = 1 AND boot = ?1 AND tunable = ?2 AND netns_cookie = ?3 AND netns_inode = ?4 AND object = ?5"

constexpr const char* insert_change = R"(
INSERT INTO changes(boot, tunable, netns_cookie, netns_inode, object, netns_pid, listener_cookie, listener_inode,
    listener_address, listener_port, listener_pid, listener_fd, pod_namespace, pod_name, pod_container,
    original, from_value, to_value, state, held, why, evidence, time_ms, device, ifindex, queue)
VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15,
    coalesce((SELECT original FROM changes WHERE )" OF_OBJECT R"( ORDER BY id LIMIT 1), ?16),
    ?16, ?17, ?18, ?19, ?20, ?21, ?22, ?23, ?24, ?25))";

constexpr const char* mark_written = "UPDATE changes SET confirmed = 1, reaction_us = ?2 WHERE id = ?1";
constexpr const char* mark_failed =
    "UPDATE changes SET state = 'failed', held = 0, why = why || '; failed: ' || ?2 WHERE id = ?1";
constexpr const char* mark_gone =
    "UPDATE changes SET state = 'gone', held = 0, why = why || '; gone before it could be written' WHERE id = ?1";
// The rows of an object since its trial began. One that is being rolled back is held until that is done, and not
// confirmed: its value may be either.
#define ON_TRIAL OF_OBJECT " AND state IN ('applied', 'rolled_back')"
#define WITH_VERDICT                                                                                                   \
    "why = why || '; ' || ?6, "                                                                                        \
    "evidence = CASE WHEN ?7 = '[]' THEN evidence WHEN evidence = '[]' THEN ?7 "                                       \
    "ELSE substr(evidence, 1, length(evidence) - 1) || ',' || substr(?7, 2) END "
constexpr const char* keep_object = "UPDATE changes SET state = 'kept', " WITH_VERDICT "WHERE " ON_TRIAL;
constexpr const char* begin_roll_back = "UPDATE changes SET state = 'rolled_back', confirmed = 0 WHERE " ON_TRIAL;
constexpr const char* end_roll_back = "UPDATE changes SET held = 0, " WITH_VERDICT "WHERE " ON_TRIAL;
constexpr const char* undo_roll_back = "UPDATE changes SET state = 'applied', confirmed = 1 WHERE " ON_TRIAL;
constexpr const char* settle_object = "UPDATE changes SET state = ?6, held = ?7 WHERE " OF_OBJECT;
constexpr const char* undo_object = "UPDATE changes SET undoing = ?6 WHERE " OF_OBJECT;
constexpr const char* undo_all = "UPDATE changes SET undoing = 1 WHERE held = 1 AND boot = ?1";
constexpr const char* release_object =
    "UPDATE changes SET held = 0, "
    "why = CASE state WHEN 'applied' THEN why || '; kept: what it was for is gone' ELSE why END, "
    "state = CASE state WHEN 'applied' THEN 'kept' ELSE state END WHERE " OF_OBJECT;
constexpr const char* yield_object =
    "UPDATE changes SET held = 0, "
    "state = CASE WHEN id = newest THEN 'yielded' ELSE 'kept' END, "
    "why = CASE WHEN id = newest THEN why || '; ' || ?6 ELSE why END "
    "FROM (SELECT max(id) AS newest FROM changes WHERE " OF_OBJECT ") WHERE " OF_OBJECT;

#define CHANGE_COLUMNS                                                                                                 \
    "SELECT id, time_ms, boot, tunable, netns_cookie, netns_inode, netns_pid, listener_cookie, listener_inode, "       \
    "listener_address, listener_port, listener_pid, listener_fd, pod_namespace, pod_name, pod_container, original, "   \
    "from_value, to_value, state, confirmed, why, evidence, reaction_us"
// Without what only later schemas have, where the service that writes the journal is of an earlier version.
constexpr const char* select_history_of_2 =
    CHANGE_COLUMNS ", 0, NULL, NULL, NULL FROM changes WHERE time_ms >= ?1 ORDER BY id";
constexpr const char* select_history =
    CHANGE_COLUMNS ", 0, device, ifindex, queue FROM changes WHERE time_ms >= ?1 ORDER BY id";
constexpr const char* select_held =
    CHANGE_COLUMNS ", undoing, device, ifindex, queue FROM changes WHERE held = 1 AND boot = ?1 ORDER BY id";

// SQLite's integers are signed: counters of 64 bits keep their bits.
template <class T> std::int64_t bits(T value) { return static_cast<std::int64_t>(value); }

std::string evidence_text(const std::vector<Evidence>& evidence) {
    auto json = nlohmann::ordered_json::array();
    for (const Evidence& one : evidence) json.push_back({one.name, one.value});
    return json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::vector<Evidence> evidence_of(const std::string& text) {
    const auto json = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    std::vector<Evidence> evidence;
    if (!json.is_array()) return evidence;
    for (const auto& one : json)
        if (one.is_array() && one.size() == 2 && one[0].is_string() && one[1].is_number_unsigned())
            evidence.push_back({one[0].get<std::string>(), one[1].get<std::uint64_t>()});
    return evidence;
}

struct Row {
    Change change;
    const tunables::Tunable* tunable = nullptr; // nullptr: of another version
    std::string tunable_name;
    bool confirmed = false;
    bool undoing = false;
};

// The columns of CHANGE_COLUMNS, in their order.
class Reader {
public:
    explicit Reader(const Statement& row) : row_(row) {}
    std::string text() { return row_.text(column_++); }
    template <class T> T number() { return static_cast<T>(row_.integer(column_++)); }
    std::optional<std::int64_t> optional_number() {
        const int column = column_++;
        return row_.is_null(column) ? std::nullopt : std::optional(row_.integer(column));
    }
    [[nodiscard]] bool at_null() const { return row_.is_null(column_); }
    void skip(int columns) { column_ += columns; }

private:
    const Statement& row_;
    int column_ = 0;
};

std::optional<ListenerRef> read_listener(Reader& reader) {
    if (reader.at_null()) {
        reader.skip(6);
        return std::nullopt;
    }
    ListenerRef listener;
    listener.cookie = reader.number<std::uint64_t>();
    listener.inode = reader.number<std::uint64_t>();
    listener.local.address = reader.text();
    listener.local.port = reader.number<std::uint16_t>();
    listener.pid = reader.number<int>();
    listener.fd = reader.number<int>();
    return listener;
}

std::optional<Pod> read_pod(Reader& reader) {
    if (reader.at_null()) {
        reader.skip(3);
        return std::nullopt;
    }
    Pod pod;
    pod.ns = reader.text();
    pod.name = reader.text();
    pod.container = reader.text();
    return pod;
}

std::optional<QueueRef> read_queue(Reader& reader) {
    if (reader.at_null()) return std::nullopt;
    QueueRef queue;
    queue.device = reader.text();
    queue.ifindex = reader.number<std::uint32_t>();
    queue.queue = reader.number<std::uint32_t>();
    return queue;
}

Result<Row> read_row(const Statement& statement) {
    Reader reader(statement);
    Row row;
    Change& change = row.change;
    change.id = reader.number<std::int64_t>();
    change.time = WallTime(std::chrono::milliseconds(reader.number<std::int64_t>()));
    change.boot = reader.text();
    row.tunable_name = reader.text();
    row.tunable = tunables::find(row.tunable_name);
    if (row.tunable != nullptr) change.tunable = row.tunable->id;
    change.scope.netns.cookie = reader.number<std::uint64_t>();
    change.scope.netns.inode = reader.number<std::uint32_t>();
    change.scope.netns_pid = reader.number<int>();
    change.scope.listener = read_listener(reader);
    change.scope.pod = read_pod(reader);
    change.original = reader.text();
    change.from = reader.text();
    change.to = reader.text();
    const std::string state = reader.text();
    row.confirmed = reader.number<int>() != 0;
    change.why = reader.text();
    change.evidence = evidence_of(reader.text());
    if (const auto reaction = reader.optional_number()) change.reaction = std::chrono::microseconds(*reaction);
    row.undoing = reader.number<int>() != 0;
    change.scope.queue = read_queue(reader);
    const auto known = change_state(state);
    if (!known) return failure("row {}: \"{}\" is no state", change.id, printable(state));
    change.state = *known;
    return row;
}

// A raise that is applied is on trial; what lowers a value is no raise.
bool is_less(const Change& change) {
    const auto left = tunables::value_of(change.tunable, change.to);
    const auto right = tunables::value_of(change.tunable, change.from);
    return left && right && *left < *right;
}

// Rows become holdings, one for each object, in the order of their first rows.
class Holdings {
public:
    void add(const Row& row) {
        const Change& change = row.change;
        const auto [place, is_new] = places_.try_emplace(key_of(change.tunable, change.scope), all_.size());
        if (is_new) all_.emplace_back().original = change.original;
        Holding& holding = all_[place->second];
        // It was set over someone else's value, which is not ours to go back to.
        const bool is_put_back = !is_new && change.from != holding.current;
        holding.tunable = change.tunable;
        holding.scope = change.scope;
        holding.current = change.to;
        holding.confirmed = row.confirmed;
        holding.undoing = row.undoing;
        holding.rolling_back = change.state == ChangeState::rolled_back;
        holding.giving_back = change.state == ChangeState::applied && is_less(change);
        if (change.state == ChangeState::kept || holding.giving_back)
            holding.before_trial.reset();
        else if (!holding.before_trial)
            holding.before_trial = change.from;
        if (holding.rolling_back)
            holding.previous = *holding.before_trial;
        else
            holding.previous = is_put_back ? change.to : change.from;
        holding.evidence = change.evidence;
        holding.rows.push_back(change.id);
    }
    std::vector<Holding> take() { return std::move(all_); }

private:
    std::map<ObjectKey, std::size_t> places_;
    std::vector<Holding> all_;
};

// Every byte that has a meaning in a URI is escaped.
std::string uri(const std::string& path) {
    std::string text = "file:";
    for (const char c : path)
        text += c == '/' ? std::string("/") : fmt::format("%{:02x}", static_cast<unsigned char>(c));
    return text;
}

// nullopt: it is not there.
Result<std::optional<off_t>> size_of(const sys::OwnDirectory& directory, const std::string& name) {
    struct stat status{};
    if (::fstatat(directory.fd.value(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return status.st_size;
    if (errno == ENOENT) return std::nullopt;
    return system_failure(errno, "look at {}", (directory.path / name).string());
}

Result<> check_that_one_may_begin(const sys::OwnDirectory& directory, Journal::IfNone if_none) {
    const std::string name = journal_file_name;
    const auto size = size_of(directory, name);
    if (!size) return std::unexpected(size.error());
    if (size->value_or(0) > 0) return {};
    const auto log = size_of(directory, name + "-wal");
    if (!log) return std::unexpected(log.error());
    const std::string path = (directory.path / name).string();
    // SQLite would delete that log.
    if (log->value_or(0) > 0)
        return std::unexpected(
            Error{fmt::format("damaged ({}-wal is there, and not what it is the log of)", path), sqlite::damaged});
    if (if_none == Journal::IfNone::begin) return {};
    return std::unexpected(
        Error{fmt::format("{} is {}, and changes of this boot were recorded in it", path, *size ? "empty" : "missing"),
              sqlite::damaged});
}

// sqlite3_open() would make it with a mode of its own choice, follow a link, and wait for a pipe.
Result<> make_file(const std::filesystem::path& directory, Journal::IfNone if_none) {
    const auto own = sys::open_own_directory(directory);
    if (!own) return std::unexpected(own.error());
    for (const char* beside : {"-wal", "-shm"})
        if (auto checked = sys::check_own_file(*own, std::string(journal_file_name) + beside); !checked) return checked;
    if (auto may = check_that_one_may_begin(*own, if_none); !may) return may;
    const auto file = sys::open_own_file(*own, journal_file_name, 0640);
    return file ? Result<>() : std::unexpected(file.error());
}

// SQLite goes on as long as its next page fits: a change would be recorded, and not what became of it.
Result<> check_room(const std::string& path) {
    struct statvfs status{};
    if (::statvfs(path.c_str(), &status) != 0) return system_failure(errno, "its file system");
    const std::uint64_t free = (::geteuid() == 0 ? status.f_bfree : status.f_bavail) * status.f_frsize;
    if ((status.f_flag & ST_RDONLY) != 0) return std::unexpected(Error{"its file system is read-only", EROFS});
    if (free >= Journal::least_room_bytes) return {};
    return std::unexpected(Error{
        fmt::format("{} KiB are free on its file system, {} are needed", free >> 10, Journal::least_room_bytes >> 10),
        ENOSPC});
}

// SQLite says that a file failed, or could not be opened, and not why.
Error with_room(Error error, const std::string& path) {
    if (error.code == 0 || error.code == sqlite::damaged) return error;
    const auto room = check_room(path);
    return room ? error : Error{fmt::format("{}: {}", error.message, room.error().message), room.error().code};
}

// Without a log beside it nobody has it open: it is complete in itself, and `immutable` keeps SQLite from making files.
Result<sqlite::Database> open_to_read(const std::string& path) {
    const bool has_log = ::access((path + "-wal").c_str(), F_OK) == 0;
    auto opened =
        sqlite::Database::open(uri(path) + (has_log ? "" : "?immutable=1"), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
    if (opened) sqlite3_busy_timeout(opened->handle(), busy_ms);
    return opened;
}

// Before anything else is asked of it.
Result<int> version_of(sqlite::Database& database) {
    const auto text = database.value("PRAGMA user_version");
    if (!text) return std::unexpected(text.error());
    const auto version = parse_number(*text);
    if (!version) return std::unexpected(Error{fmt::format("damaged (user_version {})", *text), sqlite::damaged});
    if (*version > schema_version)
        return failure("written by a newer version of bpftune-k8s (schema {}, this one knows {})", *version,
                       schema_version);
    return static_cast<int>(*version);
}

// In a file that has no version yet.
Result<> make_tables(sqlite::Database& database, Journal::IfNone if_none) {
    const auto there = database.value("SELECT count(*) FROM sqlite_master");
    if (!there) return std::unexpected(there.error());
    if (*there == "0" && if_none == Journal::IfNone::begin) return database.run(schema);
    return std::unexpected(
        Error{fmt::format("damaged ({} tables, and no version)", *there == "0" ? "no" : *there), sqlite::damaged});
}

Result<> prepare_database(sqlite::Database& database, Journal::IfNone if_none) {
    sqlite3_busy_timeout(database.handle(), busy_ms);
    const auto version = version_of(database);
    if (!version) return std::unexpected(version.error());
    const auto mode = database.value("PRAGMA journal_mode = WAL");
    if (!mode) return std::unexpected(mode.error());
    if (*mode != "wal") return failure("this file system does not take SQLite's write-ahead log");
    if (auto set = database.run("PRAGMA synchronous = NORMAL; PRAGMA wal_autocheckpoint = 0"); !set) return set;
    if (*version == 0) return make_tables(database, if_none);
    if (*version < 2)
        if (auto upgraded = database.run(from_schema_1); !upgraded) return upgraded;
    if (*version < 3)
        if (auto upgraded = database.run(from_schema_2); !upgraded) return upgraded;
    return database.check();
}

Result<> delete_old_rows(sqlite::Database& database, const std::string& boot) {
    auto statement = database.prepare(retention);
    if (!statement) return std::unexpected(statement.error());
    return statement->bind(boot).run();
}

} // namespace

struct Journal::Database {
    std::string path;
    std::string boot;
    std::optional<sqlite::Database> connection; // nullopt: there is none to read
    bool writable = false;
    int version = schema_version; // of a journal that is read only, its own
    struct stat file{};           // that is open for writing
    std::optional<Error> closed;  // why there is nothing to write
    Statement insert, written, failed, gone, settle, yield, release, undo;
    Statement keep, begin_back, end_back, undo_back, undo_each;

    Result<> prepare(IfNone if_none) {
        if (auto ready = prepare_database(*connection, if_none); !ready) return ready;
        if (auto deleted = delete_old_rows(*connection, boot); !deleted) return deleted;
        for (const auto& [statement, sql] :
             {std::pair{&insert, insert_change}, std::pair{&written, mark_written}, std::pair{&failed, mark_failed},
              std::pair{&gone, mark_gone}, std::pair{&settle, settle_object}, std::pair{&yield, yield_object},
              std::pair{&release, release_object}, std::pair{&undo, undo_object}, std::pair{&keep, keep_object},
              std::pair{&begin_back, begin_roll_back}, std::pair{&end_back, end_roll_back},
              std::pair{&undo_back, undo_roll_back}, std::pair{&undo_each, undo_all}}) {
            auto prepared = connection->prepare(sql);
            if (!prepared) return std::unexpected(prepared.error());
            *statement = std::move(*prepared);
        }
        return {};
    }

    [[nodiscard]] Result<> check_writable(const char* what) const {
        if (closed) return std::unexpected(*closed);
        return writable ? Result<>() : failure("journal {}: {}: not open for writing", path, what);
    }

    template <class... Values> Result<> run(Statement& statement, const char* what, const Values&... values) {
        if (auto ready = check_writable(what); !ready) return ready;
        const auto done = statement.bind(values...).run();
        if (!done) return with_context(done.error(), "journal {}: {}", path, what);
        return {};
    }

    // A statement that is about one object, its parameters 1 to 5.
    template <class... Values>
    Result<> run_of(const ObjectKey& object, Statement& statement, const char* what, const Values&... values) {
        return run(statement, what, boot, tunables::row(object.tunable).name, bits(object.netns.cookie),
                   bits(object.netns.inode), bits(object.listener_cookie), values...);
    }

    // All that `statements` does, or nothing of it.
    template <class Statements> Result<> at_one_go(Statements statements) {
        if (auto ready = check_writable("begin"); !ready) return ready;
        if (auto begun = connection->run("BEGIN IMMEDIATE"); !begun)
            return with_context(begun.error(), "journal {}", path);
        Result<> done = statements();
        if (!done) {
            (void)connection->run("ROLLBACK");
        } else if (done = connection->run("COMMIT"); !done) {
            (void)connection->run("ROLLBACK");
            done = with_context(done.error(), "journal {}", path);
        }
        writable = sqlite3_get_autocommit(connection->handle()) != 0; // else nothing is sure to be recorded any more
        return done;
    }

    // One that was removed, or that another took the place of, is written into and read by nobody else.
    Result<> check_place() const {
        if (!writable) return {}; // which is an error of its own
        struct stat now{};
        if (::stat(path.c_str(), &now) == 0 && now.st_ino == file.st_ino && now.st_dev == file.st_dev) return {};
        return failure("journal {}: removed or replaced while it was in use. This service still knows the originals: "
                       "`restore` while it runs, then restart it",
                       path);
    }

    Result<> check_changed(std::int64_t id, const char* what) const {
        if (sqlite3_changes(connection->handle()) == 1) return {};
        return failure("journal {}: {}: no row {}", path, what, id);
    }

    template <class Handle, class... Values>
    Result<> for_each_row(const char* sql, Handle handle, const Values&... values) {
        if (closed) return std::unexpected(*closed);
        if (!connection) return {};
        auto statement = connection->prepare(sql);
        if (!statement) return with_context(statement.error(), "journal {}", path);
        statement->bind(values...);
        while (true) {
            const auto more = statement->step();
            if (!more) return with_context(more.error(), "journal {}", path);
            if (!*more) return {};
            const auto row = read_row(*statement);
            if (!row) return with_context(row.error(), "journal {}", path);
            if (const Result<> handled = handle(*row); !handled)
                return with_context(handled.error(), "journal {}", path);
        }
    }
};

Journal::Journal(std::unique_ptr<Database> database) : database_(std::move(database)) {}
Journal::Journal(Journal&&) noexcept = default;
Journal& Journal::operator=(Journal&&) noexcept = default;
Journal::~Journal() = default;

bool Journal::is_of_disk(const Error& error) {
    constexpr std::array codes{ENOSPC, EDQUOT, EIO, EROFS};
    return std::ranges::find(codes, error.code) != codes.end();
}

Journal Journal::closed(Error why) {
    auto database = std::make_unique<Database>();
    database->closed = std::move(why);
    return Journal(std::move(database));
}

const std::optional<Error>& Journal::why_closed() const { return database_->closed; }

Result<Journal> Journal::open(const std::filesystem::path& directory, std::string boot_id, IfNone if_none) {
    auto database = std::make_unique<Database>();
    database->path = (directory / journal_file_name).string();
    database->boot = std::move(boot_id);
    database->writable = true;
    if (const auto made = make_file(directory, if_none); !made) return with_context(made.error(), "journal");
    auto opened = sqlite::Database::open(database->path, SQLITE_OPEN_READWRITE);
    if (!opened) return with_context(opened.error(), "journal {}", database->path);
    database->connection = std::move(*opened);
    if (const auto ready = database->prepare(if_none); !ready)
        return with_context(with_room(ready.error(), database->path), "journal {}", database->path);
    if (::stat(database->path.c_str(), &database->file) != 0)
        return system_failure(errno, "journal {}", database->path);
    return Journal(std::move(database));
}

Result<Journal> Journal::open_read_only(const std::filesystem::path& directory, std::string boot_id) {
    auto database = std::make_unique<Database>();
    database->path = (directory / journal_file_name).string();
    database->boot = std::move(boot_id);
    struct stat status{};
    if (::stat(database->path.c_str(), &status) != 0) {
        if (errno == ENOENT) return Journal(std::move(database));
        return system_failure(errno, "journal {}", database->path);
    }
    if (!S_ISREG(status.st_mode)) return failure("journal {}: not a regular file", database->path);
    auto opened = open_to_read(database->path);
    if (!opened) return with_context(opened.error(), "journal {}", database->path);
    database->connection = std::move(*opened);
    const auto version = version_of(*database->connection);
    if (!version) return with_context(version.error(), "journal {}", database->path);
    database->version = *version;
    if (*version == 0) database->connection.reset(); // a service is making it at this moment
    return Journal(std::move(database));
}

Result<std::int64_t> Journal::begin(const Change& change) {
    constexpr std::array beginnings{ChangeState::applied, ChangeState::kept, ChangeState::recommended,
                                    ChangeState::advice};
    if (std::ranges::find(beginnings, change.state) == beginnings.end())
        return failure("journal: no change begins as {}", to_string(change.state));
    const bool is_write = change.state == ChangeState::applied || change.state == ChangeState::kept;
    const Scope& scope = change.scope;
    const auto* listener = scope.listener ? &*scope.listener : nullptr;
    const auto* pod = scope.pod ? &*scope.pod : nullptr;
    const auto* queue = scope.queue ? &*scope.queue : nullptr;
    const auto number = [](bool present, auto value) { return present ? std::optional(bits(value)) : std::nullopt; };
    const auto text = [](const std::string* value) {
        return value ? std::optional<std::string_view>(*value) : std::nullopt;
    };
    const ListenerRef ref = scope.listener.value_or(ListenerRef{});
    const QueueRef queue_ref = scope.queue.value_or(QueueRef{});
    const auto begun = database_->run_of(
        key_of(change.tunable, scope), database_->insert, "begin", bits(scope.netns_pid), number(listener, ref.cookie),
        number(listener, ref.inode), text(listener ? &listener->local.address : nullptr),
        number(listener, ref.local.port), number(listener, ref.pid), number(listener, ref.fd),
        text(pod ? &pod->ns : nullptr), text(pod ? &pod->name : nullptr), text(pod ? &pod->container : nullptr),
        change.from, change.to, to_string(change.state), bits(is_write), change.why, evidence_text(change.evidence),
        bits(change.time.time_since_epoch().count()), text(queue ? &queue->device : nullptr),
        number(queue, queue_ref.ifindex), number(queue, queue_ref.queue));
    if (!begun) return std::unexpected(begun.error());
    return sqlite3_last_insert_rowid(database_->connection->handle());
}

Result<std::vector<std::int64_t>> Journal::begin(std::span<const Change> changes) {
    std::vector<std::int64_t> rows;
    if (changes.empty()) return rows;
    if (auto ready = database_->check_writable("begin"); !ready) return std::unexpected(ready.error());
    if (auto place = database_->check_place(); !place) return std::unexpected(place.error());
    const auto done = database_->at_one_go([&]() -> Result<> {
        for (const Change& change : changes) {
            const auto row = begin(change);
            if (!row) return std::unexpected(row.error());
            rows.push_back(*row);
        }
        return {};
    });
    if (!done) return std::unexpected(done.error());
    return rows;
}

Result<> Journal::written(std::int64_t id, std::optional<std::chrono::microseconds> reaction) {
    std::optional<std::int64_t> microseconds;
    if (reaction) microseconds = reaction->count();
    if (auto done = database_->run(database_->written, "written", id, microseconds); !done) return done;
    return database_->check_changed(id, "written");
}

Result<> Journal::failed(std::int64_t id, const std::string& error) {
    if (auto done = database_->run(database_->failed, "failed", id, error); !done) return done;
    return database_->check_changed(id, "failed");
}

Result<> Journal::gone(std::int64_t id) {
    if (auto done = database_->run(database_->gone, "gone", id); !done) return done;
    return database_->check_changed(id, "gone");
}

Result<> Journal::settle(const ObjectKey& object, ChangeState state) {
    constexpr std::array settled{ChangeState::kept, ChangeState::restored, ChangeState::failed};
    if (std::ranges::find(settled, state) == settled.end())
        return failure("journal: nothing settles as {}", to_string(state));
    return database_->run_of(object, database_->settle, "settle", to_string(state), bits(state == ChangeState::kept));
}

Result<> Journal::kept(const ObjectKey& object, const std::string& why, const std::vector<Evidence>& evidence) {
    return database_->run_of(object, database_->keep, "kept", "kept: " + why, evidence_text(evidence));
}

Result<> Journal::rolling_back(const ObjectKey& object) {
    return database_->run_of(object, database_->begin_back, "rolling back");
}

Result<> Journal::rolled_back(const ObjectKey& object, const std::string& why, const std::vector<Evidence>& evidence) {
    return database_->run_of(object, database_->end_back, "rolled back", "rolled back: " + why,
                             evidence_text(evidence));
}

Result<> Journal::not_rolled_back(const ObjectKey& object) {
    return database_->run_of(object, database_->undo_back, "not rolled back");
}

Result<> Journal::yielded(const ObjectKey& object, const std::string& why) {
    return database_->run_of(object, database_->yield, "yielded", why);
}

Result<> Journal::release(const ObjectKey& object) { return database_->run_of(object, database_->release, "release"); }

Result<> Journal::let_go(const ObjectKey& object, const std::string& why) {
    if (auto done = kept(object, why, {}); !done) return done;
    return release(object);
}

Result<> Journal::undoing(const ObjectKey& object, bool undoing) {
    return database_->run_of(object, database_->undo, "undoing", bits(undoing));
}

Result<> Journal::all_undoing() { return database_->run(database_->undo_each, "undoing", database_->boot); }

Result<> Journal::at_one_go(const std::function<Result<>()>& records) { return database_->at_one_go(records); }

Result<std::vector<Holding>> Journal::holdings() const {
    Holdings holdings;
    const auto add = [&](const Row& row) -> Result<> {
        if (row.tunable == nullptr)
            return failure("row {} holds {}, which this version of bpftune-k8s does not know", row.change.id,
                           printable(row.tunable_name));
        holdings.add(row);
        return {};
    };
    if (const auto read = database_->for_each_row(select_held, add, database_->boot); !read)
        return std::unexpected(read.error());
    return holdings.take();
}

Result<std::vector<Change>> Journal::history(std::optional<WallTime> since) const {
    std::vector<Change> changes;
    const auto add = [&](const Row& row) -> Result<> {
        if (row.tunable != nullptr) changes.push_back(row.change);
        return {};
    };
    const char* const sql = database_->version < 3 ? select_history_of_2 : select_history;
    const auto from = since ? bits(since->time_since_epoch().count()) : std::numeric_limits<std::int64_t>::min();
    if (const auto read = database_->for_each_row(sql, add, from); !read) return std::unexpected(read.error());
    return changes;
}

bool Journal::is_in_its_place() const { return database_->check_place().has_value(); }

Result<> Journal::checkpoint() {
    if (auto ready = database_->check_writable("checkpoint"); !ready) return ready;
    if (auto place = database_->check_place(); !place) return place;
    if (auto room = check_room(database_->path); !room)
        return with_context(room.error(), "journal {}", database_->path);
    const int code = sqlite3_wal_checkpoint_v2(database_->connection->handle(), nullptr, SQLITE_CHECKPOINT_PASSIVE,
                                               nullptr, nullptr);
    if (code != SQLITE_OK) return failure("journal {}: checkpoint: {}", database_->path, sqlite3_errstr(code));
    return begin_log();
}

// The first row of a log that was moved waits for the disk (SQLite: walRestartLog(), syncHeader), the first of a
// process for its pages as well. One that is taken back here leaves that to none that a burst waits for.
Result<> Journal::begin_log() {
    return database_->at_one_go([&]() -> Result<> {
        const auto row = begin(Change{.state = ChangeState::recommended});
        if (!row) return std::unexpected(row.error());
        if (auto done = written(*row, {}); !done) return done;
        return database_->connection->run(fmt::format("DELETE FROM changes WHERE id = {}", *row).c_str());
    });
}

} // namespace bpftune::actuators

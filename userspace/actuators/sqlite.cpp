// SPDX-License-Identifier: Apache-2.0
#include "actuators/sqlite.hpp"

#include <cerrno>

#include "core/text.hpp"

namespace bpftune::actuators::sqlite {
namespace {

int last_errno_of(sqlite3_file* file) {
    int code = 0;
    if (file != nullptr && file->pMethods != nullptr)
        file->pMethods->xFileControl(file, SQLITE_FCNTL_LAST_ERRNO, &code);
    return code;
}

// errno of the last call on the database's file, or on its log, that failed; 0: none has, since it was opened.
int last_errno(sqlite3* database) {
    sqlite3_file* file = nullptr;
    sqlite3_file* log = nullptr;
    sqlite3_file_control(database, nullptr, SQLITE_FCNTL_FILE_POINTER, static_cast<void*>(&file));
    sqlite3_file_control(database, nullptr, SQLITE_FCNTL_JOURNAL_POINTER, static_cast<void*>(&log));
    const int code = last_errno_of(file);
    return code != 0 ? code : last_errno_of(log);
}

std::unexpected<Error> damaged_or_not_read(sqlite3* database, std::string_view how) {
    const int code = last_errno(database);
    if (code == 0) return std::unexpected(Error{fmt::format("damaged ({})", printable(how)), damaged});
    return std::unexpected(Error{fmt::format("it cannot be read: {}", std::generic_category().message(code)), EIO});
}

std::unexpected<Error> error_of(sqlite3* database) {
    const std::string message = printable(sqlite3_errmsg(database));
    switch (sqlite3_errcode(database)) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return damaged_or_not_read(database, sqlite3_errmsg(database));
    case SQLITE_FULL: return std::unexpected(Error{message, ENOSPC});
    case SQLITE_IOERR: return std::unexpected(Error{message, EIO});
    case SQLITE_READONLY: return std::unexpected(Error{message, EROFS});
    case SQLITE_CANTOPEN:
        if (const int system = sqlite3_system_errno(database); system != 0)
            return system_failure(system, "{}", message);
        break;
    default: break;
    }
    return failure("{}", message);
}

} // namespace

Result<bool> Statement::step() {
    const int code = bind_error_ == SQLITE_OK ? sqlite3_step(statement_.get()) : bind_error_;
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    auto error = error_of(sqlite3_db_handle(statement_.get()));
    reset(); // a failed statement must not hold its lock
    return error;
}

Result<> Statement::run() {
    while (true) {
        const auto row = step();
        if (!row) return std::unexpected(row.error());
        if (*row) continue;
        reset();
        return {};
    }
}

void Statement::reset() {
    sqlite3_reset(statement_.get());
    bind_error_ = SQLITE_OK;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(statement_.get(), column); }

std::string Statement::text(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_.get(), column));
    const int size = sqlite3_column_bytes(statement_.get(), column);
    return bytes == nullptr ? std::string() : std::string(bytes, static_cast<std::size_t>(size));
}

bool Statement::is_null(int column) const { return sqlite3_column_type(statement_.get(), column) == SQLITE_NULL; }

void Statement::bind_one(int index, std::int64_t value) { note(sqlite3_bind_int64(statement_.get(), index, value)); }

void Statement::bind_one(int index, std::string_view value) {
    // NOLINTNEXTLINE(performance-no-int-to-ptr): SQLite's way to say "copy it"
    note(sqlite3_bind_text64(statement_.get(), index, value.empty() ? "" : value.data(), value.size(), SQLITE_TRANSIENT,
                             SQLITE_UTF8));
}

void Statement::bind_one(int index, std::nullptr_t) { note(sqlite3_bind_null(statement_.get(), index)); }

void Statement::note(int code) {
    if (bind_error_ == SQLITE_OK) bind_error_ = code;
}

Result<Database> Database::open(const std::string& name, int flags) {
    sqlite3* handle = nullptr;
    const int code = sqlite3_open_v2(name.c_str(), &handle, flags | SQLITE_OPEN_NOMUTEX, nullptr);
    Database database(handle); // to be closed also where the opening failed
    if (handle == nullptr) return failure("out of memory");
    if (code != SQLITE_OK) return error_of(handle);
    sqlite3_extended_result_codes(handle, 0);
    return database;
}

Result<Statement> Database::prepare(std::string_view sql) {
    sqlite3_stmt* statement = nullptr;
    const int code = sqlite3_prepare_v3(handle(), sql.data(), static_cast<int>(sql.size()), SQLITE_PREPARE_PERSISTENT,
                                        &statement, nullptr);
    // Our SQL is right: its tables are others.
    if (code == SQLITE_ERROR) return damaged_or_not_read(handle(), sqlite3_errmsg(handle()));
    if (code != SQLITE_OK) return error_of(handle());
    return Statement(statement);
}

Result<> Database::run(const char* sql) {
    const int code = sqlite3_exec(handle(), sql, nullptr, nullptr, nullptr);
    if (code == SQLITE_ERROR) return damaged_or_not_read(handle(), sqlite3_errmsg(handle())); // as in prepare()
    return code == SQLITE_OK ? Result<>() : error_of(handle());
}

Result<std::string> Database::value(std::string_view sql) {
    auto statement = prepare(sql);
    if (!statement) return std::unexpected(statement.error());
    const auto row = statement->step();
    if (!row) return std::unexpected(row.error());
    return *row ? statement->text(0) : std::string();
}

// It ends at the first finding: what it could not read is one of them, in words.
Result<> Database::check() {
    const auto found = value("PRAGMA quick_check(1)");
    if (!found) return std::unexpected(found.error());
    if (*found == "ok") return {};
    return damaged_or_not_read(handle(), *found);
}

} // namespace bpftune::actuators::sqlite

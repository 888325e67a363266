// SPDX-License-Identifier: Apache-2.0
// SQLite's handles with owners, its results as Result.
#pragma once

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <sqlite3.h>

#include "core/result.hpp"

namespace bpftune::actuators::sqlite {

// The code of an error that says so: the file is no database of ours, or not whole. Others have ENOSPC, EIO or EROFS
// where the disk is what fails, and errno where the file cannot be opened. What could not be read is not damaged,
// though SQLite says so (SQLITE_IOERR_CORRUPTFS becomes SQLITE_CORRUPT): it has EIO. What SQLite says of a file may
// have bytes of that: it is made safe to print.
inline constexpr int damaged = EUCLEAN;

// One prepared statement. Bind the values in order, step through the rows; a statement that is not kept for later is
// done with when it is destroyed, a kept one by `reset`.
class Statement {
public:
    explicit Statement(sqlite3_stmt* statement = nullptr) : statement_(statement) {}

    // Parameters 1, 2, ...; bytes are copied.
    template <class... Values> Statement& bind(const Values&... values) {
        reset();
        int index = 0;
        (bind_one(++index, values), ...);
        return *this;
    }

    Result<bool> step(); // true: there is a row
    Result<> run();      // to the end, then reset
    void reset();

    // Columns of the row, from 0. Counters of 64 bits keep their bits in SQLite's signed integers.
    [[nodiscard]] std::int64_t integer(int column) const;
    [[nodiscard]] std::string text(int column) const;
    [[nodiscard]] bool is_null(int column) const;

private:
    struct Finalize {
        void operator()(sqlite3_stmt* statement) const { sqlite3_finalize(statement); }
    };

    void bind_one(int index, std::int64_t value);
    void bind_one(int index, std::string_view value);
    void bind_one(int index, std::nullptr_t);
    template <class T> void bind_one(int index, const std::optional<T>& value) {
        value ? bind_one(index, *value) : bind_one(index, nullptr);
    }
    void note(int code);

    std::unique_ptr<sqlite3_stmt, Finalize> statement_;
    int bind_error_ = SQLITE_OK;
};

class Database {
public:
    // `name`: a path, or with SQLITE_OPEN_URI a URI.
    static Result<Database> open(const std::string& name, int flags);

    Result<Statement> prepare(std::string_view sql);
    Result<> run(const char* sql);                   // any number of statements, results ignored
    Result<std::string> value(std::string_view sql); // first column of the first row
    Result<> check();                                // quick_check: Error: damaged, or it could not be read

    [[nodiscard]] sqlite3* handle() const { return database_.get(); }

private:
    struct Close {
        void operator()(sqlite3* database) const { sqlite3_close_v2(database); }
    };
    explicit Database(sqlite3* database) : database_(database) {}

    std::unique_ptr<sqlite3, Close> database_;
};

} // namespace bpftune::actuators::sqlite

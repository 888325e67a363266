// SPDX-License-Identifier: Apache-2.0
// The journal: what was, what is, and why. SQLite in WAL mode, synchronous=NORMAL: a value in /proc/sys does not
// outlive the machine and the page cache outlives kill -9, so no write waits for a disk.
//
// A row is written before the value is. One object's original is the `original` of its first row of this boot that is
// still held (applied or kept). Rows of another boot are history and never restored.
#pragma once

#include <cerrno>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/change.hpp"
#include "core/result.hpp"

namespace bpftune::actuators {

// An object whose value is ours.
struct Holding {
    TunableId tunable{};
    Scope scope; // that of the newest row, as its hints are
    std::string original;
    std::string current;    // what we wrote last
    std::string previous;   // what it was just before: where the service died between journal and write, it still is;
                            // `current` where that was someone else's
    bool confirmed = false; // `current` was read back; else it may be `previous`
    bool rolling_back = false; // to `previous`; where the service died meanwhile, it may be either
    bool undoing = false;      // `restore` came as far as what was in use let it, and is to go on
    bool giving_back = false;  // a part of it; where the service died meanwhile, it may be `current` or `previous`
    std::optional<std::string> before_trial; // nullopt: what there is was kept
    std::vector<Evidence> evidence;          // of the newest row
    std::vector<std::int64_t> rows;          // ids, oldest first
};

inline constexpr auto journal_file_name = "journal.db"; // of the state directory; SQLite's log is beside it

class Journal {
public:
    // The code of the error where what is there is no journal, or not whole any more; or nothing, where one has to be.
    // The service sets it aside at its start (actuators/damaged_journal.hpp).
    static constexpr int damaged = EUCLEAN;

    // One that is missing, or empty: whether it is begun, or was there and is as good as damaged.
    enum class IfNone { begin, refuse };

    // Whether the error is that of a disk that is full or fails: the same may work later.
    static bool is_of_disk(const Error& error);

    // Creates `directory` (0750) and the database in it (journal.db, 0640) when they are not there, if it may. Deletes
    // rows of other boots that are more than 90 days older than the newest row, or not among the newest 100,000.
    static Result<Journal> open(const std::filesystem::path& directory, std::string boot_id,
                                IfNone if_none = IfNone::begin);

    // For `history`: changes no row and creates no journal; one that is not there is an empty one. A service may be
    // writing meanwhile. Where one has left its log behind (kill -9), SQLite's shared index is rebuilt beside it.
    static Result<Journal> open_read_only(const std::filesystem::path& directory, std::string boot_id);

    // One that could not be opened, and why: whatever is asked of it fails with that.
    static Journal closed(Error why);
    [[nodiscard]] const std::optional<Error>& why_closed() const; // nullopt: it is open

    Journal(Journal&&) noexcept;
    Journal& operator=(Journal&&) noexcept;
    ~Journal();

    // Records a change before it is made (state applied; kept: a value of ours that is no longer on trial is put back
    // over someone else's), or a recommendation or advice. Its id, its boot and its original are the journal's: the
    // original is that of the object's holding if there is one, else `change.from`.
    Result<std::int64_t> begin(const Change& change);

    // The same for several, whose ids come in their order: all of them are recorded, or none.
    Result<std::vector<std::int64_t>> begin(std::span<const Change> changes);

    // What became of the write that `begin` announced. `failed` is for one that left the value as it was, `gone` for
    // one whose object had ended; if it is not known (the writer ended), leave the row as it is: `restore` then takes
    // both values for ours.
    Result<> written(std::int64_t id, std::optional<std::chrono::microseconds> reaction);
    Result<> failed(std::int64_t id, const std::string& error);
    Result<> gone(std::int64_t id);

    // The rows of the object that are on trial become kept; the verdict and its evidence are added to them.
    Result<> kept(const ObjectKey& object, const std::string& why, const std::vector<Evidence>& evidence);

    // The rows of the object that are on trial are taken back: said before the value is written, done after it, or not.
    Result<> rolling_back(const ObjectKey& object);
    Result<> rolled_back(const ObjectKey& object, const std::string& why, const std::vector<Evidence>& evidence);
    Result<> not_rolled_back(const ObjectKey& object);

    // Every held row of the object gets this state: kept, restored, failed.
    Result<> settle(const ObjectKey& object, ChangeState state);

    // The newest held row becomes yielded, older ones of the object stop being held (kept stays in their history).
    // `why` says who set it to what, and is added to that row's.
    Result<> yielded(const ObjectKey& object, const std::string& why);

    // The object is gone (its namespace or socket): its rows stop being held. What was on trial stays without a
    // verdict: kept.
    Result<> release(const ObjectKey& object);

    // The object is there, and its application's: what was on trial is kept, `why` is added to that, and its rows stop
    // being held.
    Result<> let_go(const ObjectKey& object, const std::string& why);

    // The object is on its way back to its original (Holding::undoing), until a row is begun for it, or it is told that
    // it is not any more. Its rows stay held.
    Result<> undoing(const ObjectKey& object, bool undoing);

    // The same of all that is held.
    Result<> all_undoing();

    // All that `records` records, or nothing of it: what is told of one object, of many.
    Result<> at_one_go(const std::function<Result<>()>& records);

    // In the order of their first rows. A tunable that this version does not know is an error: it could not be undone.
    [[nodiscard]] Result<std::vector<Holding>> holdings() const;

    // Oldest first, of all boots, without tunables that this version does not know; `since`: not older.
    [[nodiscard]] Result<std::vector<Change>> history(std::optional<WallTime> since = {}) const;

    // Free on the file system, for what comes until the next checkpoint.
    static constexpr std::uint64_t least_room_bytes = 64 << 10;

    // Moves the log into the database and begins the next, with a row that is written and taken back. Both wait for the
    // disk, so not while an event waits: what is recorded after it does not. An error too where there is too little
    // room for more.
    Result<> checkpoint();

    // False: the file that is open for writing was removed or replaced, so no more raises begin. Waits for no disk.
    [[nodiscard]] bool is_in_its_place() const;

private:
    struct Database;
    explicit Journal(std::unique_ptr<Database> database);
    Result<> begin_log();
    std::unique_ptr<Database> database_;
};

} // namespace bpftune::actuators

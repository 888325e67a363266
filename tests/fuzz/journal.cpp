// SPDX-License-Identifier: Apache-2.0
// The file of a journal: damaged, or somebody else's database.
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include <unistd.h>

#include "actuators/journal.hpp"
#include "fuzz/fuzz.hpp"
#include "views/history.hpp"
#include "views/json.hpp"

using namespace bpftune;
using actuators::Journal;
namespace fs = std::filesystem;

namespace {

constexpr auto boot = "00000000-0000-4000-8000-000000000000"; // of the seeds
constexpr std::size_t width = 100;

// Where no disk is waited for, if there is such a place.
class Directory {
public:
    Directory() {
        std::string name = (fs::exists("/dev/shm") ? "/dev/shm" : fs::temp_directory_path().string()) + "/fuzz-XXXXXX";
        fuzz::must(::mkdtemp(name.data()) != nullptr, "a directory can be made");
        path_ = name;
    }
    Directory(const Directory&) = delete;
    Directory& operator=(const Directory&) = delete;
    ~Directory() { fs::remove_all(path_); }

    const fs::path& with(std::string_view journal) {
        for (const auto& file : fs::directory_iterator(path_)) fs::remove(file);
        std::ofstream(path_ / actuators::journal_file_name) << journal;
        return path_;
    }

private:
    fs::path path_;
};

void must_be_shown(const Result<std::vector<Change>>& changes) {
    if (!changes) return fuzz::must_be_lines(changes.error().message);
    fuzz::must(!views::changes_json(*changes).empty(), "a history is a document");
    fuzz::must_be_lines(views::history_table(views::changes_document(*changes), width));
}

Change made_up_change() {
    return {.boot = boot,
            .tunable = TunableId::somaxconn,
            .scope = {.netns = {.cookie = 4711, .inode = 4026532999}},
            .from = "128",
            .to = "256",
            .state = ChangeState::applied,
            .why = "a burst"};
}

// What is taken for a journal is one to go on with, or says that it is not.
void go_on(Journal& journal) {
    const auto holdings = journal.holdings();
    if (!holdings) fuzz::must_be_lines(holdings.error().message);
    const Change change = made_up_change();
    const auto row = journal.begin(change);
    if (!row) return fuzz::must_be_lines(row.error().message);
    (void)journal.written(*row, std::nullopt);
    (void)journal.kept(key_of(change.tunable, change.scope), "it was needed", {{"peak", 200}});
    (void)journal.checkpoint();
    must_be_shown(journal.history());
}

} // namespace

void fuzz::run(std::span<const std::byte> bytes) {
    static Directory directory;
    const fs::path& path = directory.with(text_of(bytes));
    if (const auto read_only = Journal::open_read_only(path, boot))
        must_be_shown(read_only->history());
    else
        must_be_lines(read_only.error().message);
    if (auto journal = Journal::open(path, boot))
        go_on(*journal);
    else
        must_be_lines(journal.error().message);
}

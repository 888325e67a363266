// SPDX-License-Identifier: Apache-2.0
// What the controller decides on each recording of tests/recordings, as README.md there has it.
//
//   UPDATE_GOLDEN=1 unit-recording-tests "on a recorded lab case*"     takes down what it decides now
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>
#include <fmt/format.h>

#include "paths.hpp"
#include "recording/file.hpp"
#include "recording/replay.hpp"
#include "sys/files.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"

using namespace bpftune;
namespace fs = std::filesystem;

namespace {

const fs::path folder = fs::path(testing::source_dir) / "tests/recordings";

std::vector<fs::path> recordings() {
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(folder))
        if (entry.path().extension() == ".zst") files.push_back(entry.path());
    std::ranges::sort(files);
    return files;
}

recording::Replay replayed(const fs::path& file) {
    auto lines = recording::LineReader::open(file);
    REQUIRE(lines);
    recording::Replay replay({});
    while (true) {
        const auto line = lines->next();
        REQUIRE(line);
        if (!*line) break;
        const auto taken = replay.take(**line);
        INFO("line " << lines->number() << ": " << (taken ? "" : taken.error().message));
        REQUIRE(taken);
    }
    CHECK_FALSE(lines->cut_short());
    return replay;
}

std::string told(const recording::Report& report) {
    std::string text =
        fmt::format("{} snapshots, other decisions than then on {}\n"
                    "lost: accept queues {} then, {} now; conntrack {} then, {} now\n",
                    report.snapshots, report.differing, report.overflows.recorded, report.overflows.replayed,
                    report.conntrack_drops.recorded, report.conntrack_drops.replayed);
    for (const auto& [object, limit] : report.limits) {
        const auto said = [id = object.tunable](std::uint64_t value) { return tunables::text_of(id, value); };
        text += fmt::format("{}: {}, then {}, now {}\n", tunables::row(object.tunable).name, said(limit.original),
                            said(limit.recorded), said(limit.replayed));
    }
    for (const recording::Replayed& decision : report.decisions) {
        const Change& change = decision.change;
        const bool advice = change.state == ChangeState::advice;
        text += fmt::format("{:.3f} s  {}  {}{}: {}\n", Seconds(change.time - report.first->wall).count(),
                            tunables::row(change.tunable).name,
                            advice ? "" : fmt::format("{} -> {}  ", change.from, change.to), to_string(change.state),
                            change.why);
    }
    return text;
}

} // namespace

TEST_CASE("on a recorded lab case the controller decides what its file says") {
    REQUIRE_FALSE(recordings().empty());
    for (const fs::path& file : recordings()) {
        const fs::path expected = fs::path(file).replace_extension(".expected");
        const std::string now = told(replayed(file).report());
        if (std::getenv("UPDATE_GOLDEN") != nullptr) std::ofstream(expected) << now;
        INFO(file.filename());
        const auto text = sys::read_file(expected);
        REQUIRE(text);
        CHECK(now == *text);
    }
}

// SPDX-License-Identifier: Apache-2.0
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>
#include <sys/resource.h>
#include <sys/stat.h>

#include "recording/file.hpp"
#include "temporary_directory.hpp"

using namespace bpftune;
using recording::LineReader;
using recording::LineWriter;
namespace fs = std::filesystem;

namespace {

// A name for a file that is not there yet.
class File {
public:
    [[nodiscard]] fs::path path() const { return folder_ / "recording"; }

private:
    bpftune::testing::TemporaryDirectory folder_;
};

struct Lines {
    std::vector<std::string> lines;
    bool cut_short = false;
    std::string error;
};

Lines read(const fs::path& path) {
    auto reader = LineReader::open(path);
    REQUIRE(reader);
    Lines read;
    while (true) {
        const auto line = reader->next();
        if (!line) {
            read.error = line.error().message;
            return read;
        }
        if (!*line) break;
        read.lines.emplace_back(**line);
        CHECK(reader->number() == read.lines.size());
    }
    read.cut_short = reader->cut_short();
    return read;
}

// Lengths from none to more than any buffer.
std::vector<std::string> some_lines() {
    std::vector<std::string> lines;
    for (std::size_t i = 0; i < 400; ++i) lines.emplace_back(i * i * 7 % 5003, static_cast<char>('a' + i % 26));
    lines.emplace_back(std::size_t{3} << 20, 'x');
    lines.emplace_back("end");
    return lines;
}

} // namespace

TEST_CASE("lines come back, however long") {
    const File file;
    auto writer = LineWriter::create(file.path());
    REQUIRE(writer);
    for (const std::string& line : some_lines()) REQUIRE(writer->write(line + "\n"));
    REQUIRE(writer->finish());
    const Lines lines = read(file.path());
    CHECK(lines.lines == some_lines());
    CHECK_FALSE(lines.cut_short);
    CHECK(lines.error.empty());
    CHECK(fs::status(file.path()).permissions() == (fs::perms::owner_read | fs::perms::owner_write));
}

TEST_CASE("what is there already is neither written nor followed, whatever it is") {
    const bpftune::testing::TemporaryDirectory folder;
    std::ofstream(folder / "precious") << "precious" << std::flush;
    fs::create_symlink("precious", folder / "link");
    fs::create_symlink("new", folder / "dangling");
    REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
    for (const char* name : {"precious", "link", "dangling", "pipe", "."}) {
        const auto writer = LineWriter::create(folder / name);
        REQUIRE_FALSE(writer);
        CHECK_THAT(writer.error().message,
                   Catch::EndsWith(std::string(name) + " is there already, and is left as it is: name a new file"));
    }
    CHECK(fs::file_size(folder / "precious") == 8);
    CHECK_FALSE(fs::exists(folder / "new"));
}

TEST_CASE("what was flushed is read, although the writer did not come to its end") {
    const File file;
    auto writer = LineWriter::create(file.path());
    REQUIRE(writer);
    REQUIRE(writer->write("one\ntwo\nthr"));
    REQUIRE(writer->flush());
    const Lines lines = read(file.path());
    CHECK(lines.lines == std::vector<std::string>{"one", "two"});
    CHECK(lines.cut_short);
    CHECK(lines.error.empty());
}

TEST_CASE("a file that is cut anywhere is read up to there") {
    const File file;
    auto writer = LineWriter::create(file.path());
    REQUIRE(writer);
    for (int i = 0; i < 50; ++i) {
        REQUIRE(writer->write(std::to_string(i) + "\n"));
        REQUIRE(writer->flush());
    }
    REQUIRE(writer->finish());
    std::size_t before = 50;
    for (auto size = fs::file_size(file.path()) - 1; size > 0; --size) {
        fs::resize_file(file.path(), size);
        const Lines lines = read(file.path());
        CHECK(lines.error.empty());
        CHECK(lines.cut_short);
        CHECK(lines.lines.size() <= before);
        before = lines.lines.size();
    }
    CHECK(before == 0);
}

TEST_CASE("a file that is none of ours, or damaged, is an error at its line") {
    const File file;
    std::ofstream(file.path()) << "apiVersion: v1\n";
    CHECK(read(file.path()).error.starts_with("line 1: not a recording, or damaged: "));
    fs::remove(file.path());

    auto writer = LineWriter::create(file.path());
    REQUIRE(writer);
    REQUIRE(writer->write("one\n"));
    REQUIRE(writer->flush());
    REQUIRE(writer->write(std::string(1000, 'y') + "\n"));
    REQUIRE(writer->finish());
    std::fstream damaged(file.path(), std::ios::in | std::ios::out | std::ios::binary);
    damaged.seekp(static_cast<std::streamoff>(fs::file_size(file.path()) - 8));
    damaged.put('\x55').put('\x55').flush();
    CHECK(read(file.path()).error.find("not a recording, or damaged") != std::string::npos);
    CHECK_FALSE(LineReader::open("/nonexistent/recording"));
}

namespace {

std::size_t most_memory() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<std::size_t>(usage.ru_maxrss) * 1024;
}

} // namespace

TEST_CASE("a few bytes that unfold to a line without end are refused early") {
    const File file;
    auto writer = LineWriter::create(file.path());
    REQUIRE(writer);
    const std::string part(std::size_t{1} << 20, 'x');
    for (int i = 0; i < 512; ++i) REQUIRE(writer->write(part));
    REQUIRE(writer->finish());
    CHECK(fs::file_size(file.path()) < 64 << 10);
    const std::size_t before = most_memory();
    CHECK(read(file.path()).error == "line 1: longer than 16 MiB, which none of a recording is");
    CHECK(most_memory() < before + (std::size_t{128} << 20)); // sanitizers keep what was freed
}

TEST_CASE("a frame that asks for a large window is refused before it has it") {
    const File file;
    const std::string header("\x28\xB5\x2F\xFD\x00\x88", 6); // a window of 2^27 bytes: what zstd takes at most
    std::ofstream(file.path(), std::ios::binary) << header << std::string("\x01\x00\x00", 3) << std::flush;
    CHECK_THAT(read(file.path()).error, Catch::Contains("requires too much memory"));
}

// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <catch2/catch.hpp>

#include "recording/file.hpp"

using namespace bpftune;
using recording::LineReader;
using recording::LineWriter;
namespace fs = std::filesystem;

namespace {

class File {
public:
    File() {
        std::string name = fs::temp_directory_path() / "bpftune-XXXXXX";
        ::close(::mkstemp(name.data()));
        path_ = name;
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;
    ~File() { fs::remove(path_); }
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
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
    CHECK((fs::status(file.path()).permissions() & fs::perms::others_all) == fs::perms::none);
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

// SPDX-License-Identifier: Apache-2.0
// Lines in a file that is compressed with zstd. What was flushed can be read although the writer was killed.
#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "sys/fd.hpp"

struct ZSTD_CCtx_s;
struct ZSTD_DCtx_s;

namespace bpftune::recording {

// The line of a node with 10,000 listeners has a few MiB, and a service sends none that is as long as this.
inline constexpr std::size_t longest_line_bytes = std::size_t{16} << 20;

class LineWriter {
public:
    // Makes the file, which must not be there yet, readable by its owner alone: commands and pods are in it.
    static Result<LineWriter> create(const std::filesystem::path& path);

    // Some bytes of lines, not necessarily to the end of one.
    Result<> write(std::string_view bytes);
    Result<> flush();
    Result<> finish(); // nothing is written after it

private:
    struct Free {
        void operator()(ZSTD_CCtx_s* context) const;
    };
    enum class How { go_on, flush, end };

    LineWriter(std::filesystem::path path, sys::Fd file);
    Result<> compress(std::string_view bytes, How how);

    std::filesystem::path path_;
    sys::Fd file_;
    std::unique_ptr<ZSTD_CCtx_s, Free> context_;
    std::string out_;
};

// A file may be anybody's: whatever is in it takes at most about 64 MiB, for zstd and one line.
class LineReader {
public:
    static Result<LineReader> open(const std::filesystem::path& path);

    // The next line, valid until the next call; nullopt: the end. What follows the last newline is no line.
    Result<std::optional<std::string_view>> next();

    [[nodiscard]] std::size_t number() const { return number_; } // of the last line, from 1
    [[nodiscard]] bool cut_short() const { return cut_short_; }  // at the end: the writer did not finish

private:
    struct Free {
        void operator()(ZSTD_DCtx_s* context) const;
    };

    LineReader(std::filesystem::path path, sys::Fd file);
    Result<bool> fill(); // false: there is no more

    std::filesystem::path path_;
    sys::Fd file_;
    std::unique_ptr<ZSTD_DCtx_s, Free> context_;
    std::string in_;
    std::size_t in_begin_ = 0;
    std::size_t in_end_ = 0;
    bool in_frame_ = false;
    bool holds_more_ = false; // of what it was given
    std::string lines_;       // read, not yet asked for
    std::size_t begin_ = 0;
    std::size_t searched_ = 0; // no newline before this
    std::size_t number_ = 0;
    bool cut_short_ = false;
};

} // namespace bpftune::recording

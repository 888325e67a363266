// SPDX-License-Identifier: Apache-2.0
#include "recording/file.hpp"

#include <fcntl.h>
#include <unistd.h>
#include <zstd.h>

#include "core/text.hpp"

namespace bpftune::recording {
namespace {

// 8 MiB; what LineWriter makes asks for 2. A frame may ask for any size, and gets the memory before it has sent a byte.
constexpr int largest_window_log = 23;
constexpr std::size_t chunk = std::size_t{256} << 10;

} // namespace

void LineWriter::Free::operator()(ZSTD_CCtx_s* context) const { ZSTD_freeCCtx(context); }
void LineReader::Free::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

LineWriter::LineWriter(std::filesystem::path path, sys::Fd file)
    : path_(std::move(path)), file_(std::move(file)), context_(ZSTD_createCCtx()), out_(ZSTD_CStreamOutSize(), '\0') {
    ZSTD_CCtx_setParameter(context_.get(), ZSTD_c_checksumFlag, 1);
}

Result<LineWriter> LineWriter::create(const std::filesystem::path& path) {
    sys::Fd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    if (!file && errno == EEXIST)
        return failure("{} is there already, and is left as it is: name a new file", printable(path.string()));
    if (!file) return system_failure(errno, "{}", printable(path.string()));
    return LineWriter(path, std::move(file));
}

Result<> LineWriter::write(std::string_view bytes) { return compress(bytes, How::go_on); }
Result<> LineWriter::flush() { return compress({}, How::flush); }
Result<> LineWriter::finish() { return compress({}, How::end); }

Result<> LineWriter::compress(std::string_view bytes, How how) {
    const ZSTD_EndDirective directive = how == How::go_on   ? ZSTD_e_continue
                                        : how == How::flush ? ZSTD_e_flush
                                                            : ZSTD_e_end;
    ZSTD_inBuffer in{bytes.data(), bytes.size(), 0};
    for (std::size_t left = 1; left > 0;) {
        ZSTD_outBuffer out{out_.data(), out_.size(), 0};
        left = ZSTD_compressStream2(context_.get(), &out, &in, directive);
        if (ZSTD_isError(left) != 0) return failure("{}: {}", printable(path_.string()), ZSTD_getErrorName(left));
        if (how == How::go_on) left = in.size - in.pos;
        for (std::size_t written = 0; written < out.pos;) {
            const ssize_t count = ::write(file_.value(), out_.data() + written, out.pos - written);
            if (count < 0 && errno == EINTR) continue;
            if (count < 0) return system_failure(errno, "write {}", printable(path_.string()));
            written += static_cast<std::size_t>(count);
        }
    }
    return {};
}

LineReader::LineReader(std::filesystem::path path, sys::Fd file)
    : path_(std::move(path)), file_(std::move(file)), context_(ZSTD_createDCtx()), in_(ZSTD_DStreamInSize(), '\0') {
    ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, largest_window_log);
}

Result<LineReader> LineReader::open(const std::filesystem::path& path) {
    sys::Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return system_failure(errno, "{}", printable(path.string()));
    return LineReader(path, std::move(file));
}

Result<std::optional<std::string_view>> LineReader::next() {
    while (true) {
        if (const std::size_t end = lines_.find('\n', searched_); end != std::string::npos) {
            const std::string_view line(lines_.data() + begin_, end - begin_);
            begin_ = searched_ = end + 1;
            ++number_;
            return line;
        }
        lines_.erase(0, begin_);
        searched_ = lines_.size();
        begin_ = 0;
        const auto more = fill();
        if (!more) return std::unexpected(more.error());
        if (!*more) {
            cut_short_ = in_frame_ || !lines_.empty();
            return std::nullopt;
        }
    }
}

Result<bool> LineReader::fill() {
    const std::size_t before = lines_.size();
    if (before > longest_line_bytes)
        return failure("line {}: longer than {} MiB, which none of a recording is", number_ + 1,
                       longest_line_bytes >> 20);
    lines_.resize(before + chunk);
    ZSTD_outBuffer out{lines_.data() + before, chunk, 0};
    while (out.pos == 0) {
        if (in_begin_ == in_end_ && !holds_more_) {
            const ssize_t count = ::read(file_.value(), in_.data(), in_.size());
            if (count < 0) return system_failure(errno, "read {}", printable(path_.string()));
            if (count == 0) break;
            in_begin_ = 0;
            in_end_ = static_cast<std::size_t>(count);
        }
        ZSTD_inBuffer in{in_.data(), in_end_, in_begin_};
        const std::size_t left = ZSTD_decompressStream(context_.get(), &out, &in);
        if (ZSTD_isError(left) != 0)
            return failure("line {}: not a recording, or damaged: {}", number_ + 1, ZSTD_getErrorName(left));
        in_begin_ = in.pos;
        in_frame_ = left > 0;
        holds_more_ = out.pos == out.size;
    }
    lines_.resize(before + out.pos);
    return out.pos > 0;
}

} // namespace bpftune::recording

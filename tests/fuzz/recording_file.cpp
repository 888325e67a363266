// SPDX-License-Identifier: Apache-2.0
// A recording as the file that it is: compressed.
#include "fuzz/files.hpp"
#include "fuzz/fuzz.hpp"
#include "recording/file.hpp"

using namespace bpftune;

void fuzz::run(std::span<const std::byte> bytes) {
    const MemoryFile file(bytes);
    auto reader = recording::LineReader::open(file.path());
    must(reader.has_value(), "it can be opened");
    for (std::size_t lines = 0;; ++lines) {
        const auto line = reader->next();
        if (!line) return must_be_lines(line.error().message);
        must(reader->number() == lines + (*line ? 1 : 0), "lines are counted");
        if (!*line) return;
        must((*line)->size() < 2 * recording::longest_line_bytes, "a line is no longer than it may be");
        must(!(*line)->contains('\n'), "a line has no end in it");
    }
}

// SPDX-License-Identifier: Apache-2.0
// The lines of a recording, replayed under the policy that is in them. Seeds are compressed, what is made of them is
// not.
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>

#include "fuzz/files.hpp"
#include "fuzz/fuzz.hpp"
#include "recording/file.hpp"
#include "recording/json.hpp"
#include "recording/recording.hpp"
#include "recording/replay.hpp"

using namespace bpftune;

namespace {

// Numbers that are none (NaN) are as different from themselves when they have been written and read.
void must_be_written_as_read(const recording::Decoder& decoder) {
    const auto is_same = [](const auto& a, const auto& b) { return recording::same(a, b) || !recording::same(a, a); };
    recording::Encoder encoder;
    recording::Decoder again;
    const auto line = again.read(encoder.step(decoder.snapshot(), decoder.step()));
    fuzz::must(line == recording::Decoder::Line::step, "a step that was read is written as a step");
    fuzz::must(is_same(again.snapshot(), decoder.snapshot()), "a snapshot is written as it was read");
    fuzz::must(is_same(again.step(), decoder.step()), "decisions are written as they were read");
}

void decode(recording::Decoder& decoder, std::string_view line) {
    const auto decisions = recording::decisions_in(line);
    const auto read = decoder.read(line);
    if (read != recording::Decoder::Line::step) return;
    fuzz::must(decisions == decoder.step().decisions.size(), "decisions are counted as they are read");
    must_be_written_as_read(decoder);
}

std::string decompressed(std::span<const std::byte> bytes) {
    if (!fuzz::text_of(bytes).starts_with("\x28\xb5\x2f\xfd")) return std::string(fuzz::text_of(bytes));
    const fuzz::MemoryFile file(bytes);
    auto reader = recording::LineReader::open(file.path());
    std::string lines;
    for (auto line = reader->next(); line && *line; line = reader->next()) lines.append(**line) += '\n';
    return lines;
}

} // namespace

extern "C" std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most, unsigned) {
    const std::string lines = decompressed(std::as_bytes(std::span(data, size)));
    size = std::min(lines.size(), most);
    std::copy_n(lines.begin(), size, data);
    return LLVMFuzzerMutate(data, size, most);
}

void fuzz::run(std::span<const std::byte> bytes) {
    recording::Decoder decoder;
    std::optional<recording::Replay> replay(std::in_place, std::nullopt);
    const std::string lines = decompressed(bytes);
    for (std::string_view text = lines; !text.empty();) {
        const std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(text.size(), line.size() + 1));
        decode(decoder, line);
        const auto taken = replay ? replay->take(line) : Result<>();
        if (taken) continue;
        must_be_lines(taken.error().message);
        replay.reset(); // nothing follows what is no recording
    }
}

// SPDX-License-Identifier: Apache-2.0
#include "recording/recording.hpp"

#include <algorithm>

#include "policy/parse.hpp"
#include "recording/json.hpp"

namespace bpftune::recording {
namespace {

constexpr std::size_t longest_name = 4096; // of a file: each decision that an entry of its has held back names it

Result<> whole(const Cursor& in) {
    if (!in.ok()) return std::unexpected(in.error());
    if (!in.at_end()) return failure("more than one value on the line");
    return {};
}

} // namespace

std::vector<std::string> lines_of(const policy::Policy& policy) {
    std::vector<std::string> lines{""};
    for (const char c : policy::show(policy)) {
        if (c == '\n')
            lines.emplace_back();
        else
            lines.back() += c;
    }
    if (lines.back().empty()) lines.pop_back();
    return lines;
}

Origin origin_of(const policy::Policy& policy) {
    Origin origin{.file = policy.file.value, .lines = {}};
    for (const policy::PodRule& rule : policy.pods) origin.lines.push_back(rule.line.value);
    return origin;
}

Result<policy::Policy> policy_of(const std::vector<std::string>& lines, const Origin& origin) {
    if (origin.file.size() > longest_name) return failure("the recorded policy: its file has no such name");
    std::string text;
    for (const std::string& line : lines) text.append(line) += '\n';
    auto parsed = policy::parse(text);
    if (!parsed) {
        const policy::Diagnostic& first = parsed.error().front();
        return failure("the recorded policy, line {}, column {}: {}", first.line, first.column, first.message);
    }
    parsed->file.value = origin.file;
    for (std::size_t i = 0; i < std::min(parsed->pods.size(), origin.lines.size()); ++i)
        parsed->pods[i].line.value = origin.lines[i];
    return std::move(*parsed);
}

std::string Encoder::begin(const Header& header) {
    tick_ = pressure_ = {};
    std::string line = R"({"recording":)";
    write(line, header);
    return line + '}';
}

std::string Encoder::step(const Snapshot& snapshot, const Step& step) {
    const bool tick = snapshot.cause == Snapshot::Cause::tick;
    Snapshot& known = tick ? tick_ : pressure_;
    std::string line = tick ? R"({"tick":)" : R"({"pressure":)";
    write(line, snapshot, known);
    line += R"(,"step":)";
    write(line, step);
    known = snapshot;
    return line + '}';
}

std::string Encoder::reloaded(const policy::Policy& policy) {
    std::string line = R"({"reloaded":)";
    write(line, lines_of(policy));
    line += R"(,"origin":)";
    write(line, origin_of(policy));
    return line + '}';
}

std::string Encoder::restored() { return R"({"restored":true})"; }

// No text in the line has these quotes: there they have a backslash before them.
std::optional<std::size_t> decisions_in(std::string_view line) {
    if (!line.starts_with(R"({"tick":)") && !line.starts_with(R"({"pressure":)")) return std::nullopt;
    constexpr std::string_view key = R"(,"step":)";
    Step step;
    if (const std::size_t at = line.rfind(key); at != std::string_view::npos) {
        Cursor in(line.substr(at + key.size()));
        recording::read(in, step);
    }
    return step.decisions.size();
}

// To measure takes as long as a snapshot of that size does: only when so much was added that it may matter.
Result<> Decoder::check_memory(std::size_t grown) {
    grown_ += grown;
    if (grown_ <= most_grown_bytes / 2) return {};
    grown_ = 0;
    held_ = recording::held_bytes(tick_) + recording::held_bytes(pressure_) + recording::held_bytes(header_) +
            recording::held_bytes(step_) + recording::held_bytes(policy_) + recording::held_bytes(origin_);
    if (held_ <= most_held_bytes) return {};
    return failure("what is recorded takes more than {} MiB", most_held_bytes >> 20);
}

Result<Decoder::Line> Decoder::read(std::string_view text) {
    Cursor in(text);
    Line line = Line::step;
    if (in.take(R"({"tick":)") || in.take(R"({"pressure":)")) {
        snapshot_ = text[2] == 't' ? &tick_ : &pressure_;
        recording::read(in, *snapshot_);
        step_ = {};
        if (in.take(R"(,"step":)")) recording::read(in, step_);
    } else if (in.take(R"({"recording":)")) {
        line = Line::header;
        header_ = {};
        tick_ = pressure_ = {};
        recording::read(in, header_);
        const controller::State& state = header_.state;
        const bool keyed = !state.trials.empty() || !state.back_offs.empty() || !state.floods.empty();
        if (header_.schema != current_schema && (header_.schema != keyed_otherwise || keyed))
            return failure("recorded with schema {} by version {}: this program reads schema {}", header_.schema,
                           header_.version.empty() ? "?" : header_.version, current_schema);
    } else if (in.take(R"({"reloaded":)")) {
        line = Line::reloaded;
        recording::read(in, policy_);
        origin_ = {};
        if (in.take(R"(,"origin":)")) recording::read(in, origin_);
    } else if (in.take(R"({"restored":true)")) {
        line = Line::restored;
    } else {
        return failure("not a line of a recording");
    }
    in.expect('}');
    if (auto read = whole(in); !read) return std::unexpected(read.error());
    if (auto fits = check_memory(in.grown()); !fits) return std::unexpected(fits.error());
    for (const Settled& settled : step_.settled)
        if (settled.decision >= step_.decisions.size()) return failure("the outcome of a decision that is not there");
    return line;
}

} // namespace bpftune::recording

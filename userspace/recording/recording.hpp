// SPDX-License-Identifier: Apache-2.0
// What the controller was given and what came of it, as JSON lines.
//
//   {"recording":{...}}                     the first line: whose, when, under which policy, and the controller's
//   State.
//                                           Again whenever somebody else begins to record: what follows is whole again
//   {"tick":{...},"step":{...}}             a Snapshot, then `now`, decisions and what became of each write
//   {"pressure":{...},"step":{...}}         the same
//   {"reloaded":["apiVersion: ...", ...],"origin":{...}}   the policy was loaded anew
//   {"restored":true}                       everything was put back on request: observing until the next reload
//
// A struct holds only those members that differ from what was known: from its default, and for a Snapshot from the last
// one of its cause, row by row. In its lists a number says how many rows are as before. Names are those of
// recording/fields.hpp, times nanoseconds of CLOCK_MONOTONIC, wall-clock times milliseconds.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/result.hpp"
#include "core/snapshot.hpp"
#include "policy/policy.hpp"

namespace bpftune::recording {

inline constexpr int current_schema = 2;
// Trials, back-offs and floods were keyed otherwise: one that began without any reads as it did.
inline constexpr int keyed_otherwise = 1;

// Where the entries of a policy stood in the file that it came from, which the decisions name.
struct Origin {
    std::string file;
    std::vector<std::uint64_t> lines; // one for each entry of `pods`

    bool operator==(const Origin&) const = default;
};

struct Header {
    int schema = 0;
    std::string version; // of the program
    std::string node;
    std::string boot; // /proc/sys/kernel/random/boot_id
    Now time;
    std::vector<std::string> policy; // the effective one, as lines of YAML
    Origin origin;
    controller::State state;
};

// What became of a write, as the controller was told.
struct Settled {
    std::uint64_t decision = 0; // its index in the step
    Outcome outcome;
    MonoTime now; // that of controller::settle
};

struct Step {
    MonoTime now; // that of controller::step
    std::vector<Decision> decisions;
    std::vector<Settled> settled; // in the order in which it was told
};

std::vector<std::string> lines_of(const policy::Policy& policy);
Origin origin_of(const policy::Policy& policy);
// As these two made it; an error: not by this version.
Result<policy::Policy> policy_of(const std::vector<std::string>& lines, const Origin& origin);

// Lines come without a newline.
class Encoder {
public:
    std::string begin(const Header& header);
    std::string step(const Snapshot& snapshot, const Step& step);
    static std::string reloaded(const policy::Policy& policy);
    static std::string restored();

private:
    Snapshot tick_; // the last one of each cause
    Snapshot pressure_;
};

// How many decisions the line of a snapshot has; nullopt: it is no such line. Nothing is kept, and what is wrong with
// the line is left to a decoder.
std::optional<std::size_t> decisions_in(std::string_view line);

// What the lines of a recording may have a decoder hold, and whoever keeps what came of them. Snapshots and states grow
// line by line, so that each line being short says nothing.
inline constexpr std::size_t most_held_bytes = std::size_t{128} << 20;

// Whatever it is given, it takes less than 288 MiB: the most that is held, what may have been added since that was
// measured, what a line may add, and as much again while it is moved to where there is room.
class Decoder {
public:
    enum class Line { header, step, reloaded, restored };

    // What the line is; the functions below then have what it says. Text that is not fit to show is made so.
    Result<Line> read(std::string_view line);

    // About what it holds: as last measured, and what may have been added since.
    [[nodiscard]] std::size_t held_bytes() const { return held_ + grown_; }

    [[nodiscard]] const Header& header() const { return header_; }
    [[nodiscard]] const Snapshot& snapshot() const { return *snapshot_; }
    [[nodiscard]] const Step& step() const { return step_; }
    [[nodiscard]] const std::vector<std::string>& policy() const { return policy_; }
    [[nodiscard]] const Origin& origin() const { return origin_; }

private:
    Result<> check_memory(std::size_t grown);

    std::size_t held_ = 0;  // as last measured
    std::size_t grown_ = 0; // since then
    Header header_;
    Snapshot tick_;
    Snapshot pressure_;
    Snapshot* snapshot_ = &tick_;
    Step step_;
    std::vector<std::string> policy_;
    Origin origin_;
};

} // namespace bpftune::recording

// SPDX-License-Identifier: Apache-2.0
// Carries decisions out: journal, write, read-back, journal; and tells the controller what became of them.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actuators/journal.hpp"
#include "actuators/writer.hpp"
#include "controller/state.hpp"
#include "core/change.hpp"
#include "core/result.hpp"
#include "recording/recording.hpp"

namespace bpftune::service {

class Executor {
public:
    using Announce = std::function<Result<>()>;
    using OnChange = std::function<void(const Decision&, ChangeState)>;
    using NudgeFlows = std::function<Result<>(Nudge, const Scope&)>;

    // `announce`: says, before a change is recorded whose original is needed again, that there are such (note_boot); an
    // error forbids it. `on_change` is told each state that a change reaches. `nudge`: lets the running connections of
    // a namespace have what was raised, or no more than before where that was rolled back (Tunable::nudge).
    Executor(actuators::Journal& journal, actuators::Writer& writer, controller::State& state, Announce announce,
             OnChange on_change, NudgeFlows nudge)
        : journal_(journal), writer_(writer), state_(state), announce_(std::move(announce)),
          on_change_(std::move(on_change)), nudge_(std::move(nudge)) {}

    // In their order. What fails is journalled, logged, and told to the controller; it stops nothing else, but that
    // raises in a row are journalled all or none.
    // Whether anything was recorded.
    bool carry_out(std::span<const Decision> decisions);

    // What became of writes that were not answered, by reading: for history, `restore` and the controller, which does
    // not go by what it sees of them until then.
    void settle_unknown(MonoTime now);

    // Looks for what was decided to be forgotten, and lets go of what is really gone, until `longest` is over; the rest
    // has its turn in the next call, its rows stay held. Whether there was anything.
    bool settle_forgotten(Nanoseconds longest);

    // Why the journal takes no rows; nullopt: it does. Nothing is written meanwhile, nor tried.
    [[nodiscard]] const std::optional<std::string>& journal_error() const { return journal_error_; }

    // Moves the journal's log on, and finds out whether it takes rows. Waits for the disk.
    void checkpoint();

    // What the controller was told of the writes among them.
    [[nodiscard]] const std::vector<recording::Settled>& settled() const { return settled_; }

private:
    struct Answered {
        Outcome outcome;
        MonoTime now;
        bool is_known = true; // false: it may have been written, or still come to be
    };
    struct Unknown {
        Decision decision;
        std::int64_t row = 0;
        MonoTime next_look;
    };

    [[nodiscard]] Answered answered(Outcome outcome) const;
    [[nodiscard]] ChangeState state_of_written(const Decision& decision) const;
    void carry_out_next(std::span<const Decision> next);
    Result<std::vector<std::int64_t>> begin(std::span<const Change> changes);
    // What came of something that was asked of the journal. The first failure in a row is logged, and the end of them.
    void recorded(const Result<>& result, std::string_view what);
    void say(const Decision& decision, ChangeState state);
    void settle(const Decision& decision, const Outcome& outcome, MonoTime now);
    void write(std::span<const Decision> decisions);
    void not_journalled(const Decision& decision, const Error& error);
    void roll_back(const Decision& decision);
    void forget(const Decision& decision);
    void finish_roll_back(const Decision& decision, const Outcome& outcome);
    void finish(const Decision& decision, std::int64_t row, const Answered& answer);
    void finish(const Decision& decision, std::int64_t row, const Outcome& outcome, MonoTime now);
    void await(const Decision& decision, std::int64_t row, const Outcome& outcome, MonoTime now);
    bool settle_unknown(const Unknown& unknown);
    void written(const Decision& decision, std::int64_t row, MonoTime now);
    void nudge(const Decision& decision) const;
    void not_written(const Decision& decision, std::int64_t row, const std::string& error);
    void gone(const Decision& decision, std::int64_t row);

    actuators::Journal& journal_;
    actuators::Writer& writer_;
    controller::State& state_;
    Announce announce_;
    OnChange on_change_;
    NudgeFlows nudge_;
    std::optional<std::string> journal_error_;
    std::span<const Decision> step_; // being carried out
    std::vector<recording::Settled> settled_;
    std::vector<Unknown> unknown_;
    std::deque<Decision> forgotten_;
};

} // namespace bpftune::service

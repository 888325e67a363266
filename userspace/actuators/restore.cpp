// SPDX-License-Identifier: Apache-2.0
#include "actuators/restore.hpp"

#include <algorithm>
#include <map>
#include <span>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>

#include "core/parse.hpp"
#include "core/words.hpp"
#include "sys/clock.hpp"
#include "tunables/catalog.hpp"
#include "tunables/codec.hpp"
#include "tunables/undo.hpp"

namespace bpftune::actuators {
namespace {

using Kind = Restored::Kind;

struct Numbers {
    std::uint64_t original = 0;
    std::uint64_t current = 0;
    std::uint64_t previous = 0;
};

Result<Numbers> numbers_of(const Holding& holding) {
    Numbers numbers;
    for (const auto& [text, number] :
         {std::pair{&holding.original, &numbers.original}, std::pair{&holding.current, &numbers.current},
          std::pair{&holding.previous, &numbers.previous}}) {
        const auto parsed = tunables::value_of(holding.tunable, *text);
        if (!parsed) return with_context(parsed.error(), "the journal");
        *number = *parsed;
    }
    return numbers;
}

bool is_ours(const Holding& holding, const Numbers& numbers, std::uint64_t value) {
    return value == numbers.current || (!holding.confirmed && value == numbers.previous);
}

Restored result(const Holding& holding, Kind kind, std::string found = {}, std::string error = {}) {
    Restored restored;
    restored.holding = holding;
    restored.kind = kind;
    restored.found = std::move(found);
    restored.error = std::move(error);
    return restored;
}

// EBUSY: it is there, and out of reach for now.
Restored not_read(const Holding& holding, const Error& error) {
    const Kind kind = error.code == ESTALE ? Kind::gone : error.code == EBUSY ? Kind::in_use : Kind::failed;
    return result(holding, kind, {}, error.message);
}

// What it is by now.
std::uint64_t value_after(const Restored& restored) {
    const std::string& text = restored.to.empty() ? restored.found : restored.to;
    return tunables::value_of(restored.holding.tunable, text.empty() ? restored.holding.current : text).value_or(0);
}

std::string limit_name(const tunables::Tunable& row) {
    std::string name(row.not_below);
    std::ranges::replace(name, '/', '.');
    return name;
}

// How many objects are recorded at one go, so that the log of the journal has each of its pages once for all of them.
constexpr std::size_t recorded_at_once = 64;

class Restoration {
public:
    // `held`: all that is, also what is not to be restored this time.
    Restoration(Journal& journal, Writer& writer, const RestoreOptions& options, const std::vector<Holding>& held)
        : journal_(journal), writer_(writer), options_(options), held_(held), begun_(sys::now().mono) {
        for (const Holding& each : held)
            if (tunables::row(each.tunable).bounded_by) bounded_[{each.tunable, each.scope.netns}].push_back(&each);
    }

    void restore(const Holding& holding) {
        const MonoTime now = sys::now().mono;
        if (options_.longest && now - begun_ >= *options_.longest) return add(result(holding, Kind::not_reached));
        (void)writer_.catches_up(std::max(begun_ + options_.patience - now, Nanoseconds::zero()));
        Restored one = planned(holding);
        if (!options_.dry_run && is_plan(one)) write(one);
        if (one.kind == Kind::foreign && is_of_socket(holding.tunable))
            one.error = set_anew(holding.tunable, one.found);
        const bool has_own_row = one.kind == Kind::lowered; // which is not marked as the others are
        add(std::move(one));
        if (has_own_row || done_.size() - recorded_ >= recorded_at_once) record();
    }
    std::vector<Restored> take() {
        record();
        return std::move(done_);
    }

private:
    // Of a holding: the first of its rows is no other's.
    static std::int64_t id_of(const Holding& holding) { return holding.rows.front(); }

    void add(Restored one) {
        places_[id_of(one.holding)] = done_.size();
        done_.push_back(std::move(one));
    }

    // nullptr: its turn has not come.
    const Restored* done(const Holding& holding) const {
        const auto place = places_.find(id_of(holding));
        return place != places_.end() ? &done_[place->second] : nullptr;
    }

    static bool is_plan(const Restored& one) {
        return one.kind == Kind::would_restore || one.kind == Kind::would_lower;
    }

    Restored planned(const Holding& holding) {
        const auto numbers = numbers_of(holding);
        if (!numbers) return result(holding, Kind::failed, {}, numbers.error().message);
        const auto value = writer_.read(holding.tunable, holding.scope);
        if (!value) return not_read(holding, value.error());
        if (*value == numbers->original)
            return result(holding, Kind::unchanged, tunables::text_of(holding.tunable, *value));
        if (!is_ours(holding, *numbers, *value))
            return result(holding, Kind::foreign, tunables::text_of(holding.tunable, *value));
        return way_back(holding, *value, numbers->original);
    }

    Restored way_back(const Holding& holding, std::uint64_t value, std::uint64_t original) {
        Restored one = result(holding, Kind::in_use, tunables::text_of(holding.tunable, value));
        const auto use = writer_.in_use(holding.tunable, holding.scope);
        const auto& row = tunables::row(holding.tunable);
        const bool is_limit = row.in_use == tunables::InUse::lower_limit;
        if (use && !is_limit && row.in_use != tunables::InUse::nothing) one.in_use = *use;
        // What the kernel refuses it refuses at once as well.
        const std::uint64_t to = options_.now && !is_limit ? original : target(one, value, original, use);
        if (use && is_limit && to != original) one.needed_by = fmt::format("{}, which is {}", limit_name(row), *use);
        one.to = tunables::text_of(holding.tunable, to);
        if (to == value) {
            if (!use) one.error = "what is in use is not known: " + use.error().message;
            return one;
        }
        one.kind = to == original ? Kind::would_restore : Kind::would_lower;
        return one;
    }

    // How far it may go now.
    std::uint64_t target(Restored& one, std::uint64_t value, std::uint64_t original, const Result<std::uint64_t>& use) {
        const TunableId tunable = one.holding.tunable;
        if (!tunables::is_less(tunable, original, value)) return original;
        if (!use) return value;
        if (const auto& leader = tunables::row(tunable).follows)
            return tunables::step_back(tunable, value, original, needed_to_follow(one, *leader, original, *use));
        const std::uint64_t to = tunables::way_back(tunable, value, original, *use);
        return std::clamp(std::max(to, largest_bounded(one)), original, value);
    }

    // What a held object has after this, as far as this has come or is planned; nullopt: it is ours no more.
    static std::optional<std::uint64_t> value_left(const Restored& one) {
        const bool gone = one.kind == Kind::foreign || one.kind == Kind::gone;
        return gone ? std::nullopt : std::optional(value_after(one));
    }

    // The same of one that another bounds, whose turn is before that one's; 0: nothing of it is in the way.
    std::uint64_t bounded_left(const Holding& holding) const {
        const Restored* one = done(holding);
        if (one == nullptr) return tunables::value_of(holding.tunable, holding.current).value_or(0);
        const bool is_back =
            one->kind == Kind::restored || one->kind == Kind::would_restore || one->kind == Kind::unchanged;
        return is_back ? 0 : value_left(*one).value_or(0);
    }

    // What stays larger than the one that bounds it could be set neither to a step nor to its original any more.
    std::uint64_t largest_bounded(Restored& bound) {
        const auto* bounded = tunables::bounded_by(bound.holding.tunable);
        if (bounded == nullptr) return 0;
        const auto those = bounded_.find({bounded->id, bound.holding.scope.netns});
        if (those == bounded_.end()) return 0;
        const Holding* largest =
            std::ranges::max(those->second, {}, [&](const Holding* each) { return bounded_left(*each); });
        const std::uint64_t left = bounded_left(*largest);
        if (left > 0)
            bound.needed_by = fmt::format("{}, which stays at {}",
                                          object_text(largest->tunable, bounded->name, largest->scope), left);
        return left;
    }

    // For as much as the one that it follows keeps; where that is not ours to put back, for what is in use.
    std::uint64_t needed_to_follow(Restored& one, TunableId leader, std::uint64_t original, std::uint64_t use) {
        const TunableId tunable = one.holding.tunable;
        const std::uint64_t room = tunables::room_for(leader, use);
        const auto leading = std::ranges::find(held_, leader, &Holding::tunable);
        const Restored* before_it = leading == held_.end() ? nullptr : done(*leading);
        const auto left = leading == held_.end() ? std::nullopt
                          : before_it != nullptr ? value_left(*before_it)
                                                 : value_left(planned(*leading));
        if (!left) {
            const auto now = writer_.read(leader, one.holding.scope);
            return tunables::following(tunable, room, now.value_or(0), original);
        }
        const std::uint64_t before = tunables::value_of(leading->tunable, leading->original).value_or(0);
        if (*left != before) one.needed_by = fmt::format("{}, which stays at {}", tunables::row(leader).name, *left);
        const std::uint64_t needed = *left == before ? std::min(room, before == 0 ? room : before) : *left;
        return tunables::following(tunable, needed, before, original);
    }

    void write(Restored& one) {
        const TunableId tunable = one.holding.tunable;
        const Scope& scope = one.holding.scope;
        const std::uint64_t value = tunables::value_of(tunable, one.found).value_or(0);
        const std::uint64_t to = tunables::value_of(tunable, one.to).value_or(0);
        const bool whole = one.kind == Kind::would_restore;
        std::optional<std::int64_t> row;
        if (!whole) {
            const auto begun = journal_.begin(step_of(one, value, to));
            if (!begun) return fail(one, begun.error().message);
            row = *begun;
        }
        const Outcome outcome =
            options_.now ? writer_.write(tunable, scope, value, to) : writer_.lower(tunable, scope, value, to);
        take(one, outcome, whole);
        if (!writer_.knows_outcome()) return; // both values are ours
        if (one.kind == Kind::failed && !options_.now) note_use_since(one, to);
        if (!row) return;
        const ObjectKey object = key_of(tunable, scope);
        Result<> told = one.kind == Kind::lowered ? journal_.written(*row, {}) : journal_.failed(*row, one.error);
        if (told && one.kind == Kind::lowered) told = journal_.settle(object, ChangeState::kept);
        if (!told) fail(one, told.error().message);
    }

    // More may be in use by now than when that was looked at: no failure.
    void note_use_since(Restored& one, std::uint64_t to) {
        const auto use = writer_.in_use(one.holding.tunable, one.holding.scope);
        if (!use || tunables::room_for(one.holding.tunable, *use) <= to) return;
        one.kind = Kind::in_use;
        one.in_use = *use;
    }

    static void take(Restored& one, const Outcome& outcome, bool whole) {
        one.error = outcome.error;
        switch (outcome.kind) {
        case Outcome::Kind::written: one.kind = whole ? Kind::restored : Kind::lowered; return;
        case Outcome::Kind::conflict:
            one.kind = Kind::foreign;
            one.found = tunables::text_of(one.holding.tunable, outcome.value);
            break;
        case Outcome::Kind::gone: one.kind = Kind::gone; break;
        case Outcome::Kind::failed: one.kind = Kind::failed; break;
        }
        one.to.clear();
    }

    static void fail(Restored& one, std::string error) {
        one.kind = Kind::failed;
        one.error = std::move(error);
    }

    static Change step_of(const Restored& one, std::uint64_t value, std::uint64_t to) {
        Change step;
        step.time = sys::now().wall;
        step.tunable = one.holding.tunable;
        step.scope = one.holding.scope;
        step.from = tunables::text_of(step.tunable, value);
        step.to = tunables::text_of(step.tunable, to);
        step.state = ChangeState::applied;
        step.why = one.needed_by.empty()
                       ? fmt::format("a step back to {}: {} are in use", one.holding.original, one.in_use.value_or(0))
                       : fmt::format("a step back to {}: it is needed by {}", one.holding.original, one.needed_by);
        if (one.in_use) step.evidence = {{"in_use", *one.in_use}};
        return step;
    }

    // What was added since.
    void record() {
        const std::span<Restored> those = std::span(done_).subspan(std::exchange(recorded_, done_.size()));
        if (options_.dry_run || those.empty()) return;
        const auto recorded = journal_.at_one_go([&]() -> Result<> {
            for (const Restored& one : those)
                if (auto done = record(one); !done) return done;
            return {};
        });
        if (recorded) return;
        for (Restored& one : those)
            fail(one, fmt::format("{}, but not recorded: {}", to_string(one.kind), recorded.error().message));
    }

    Result<> record(const Restored& restored) {
        const ObjectKey object = key_of(restored.holding.tunable, restored.holding.scope);
        switch (restored.kind) {
        case Kind::restored:
        case Kind::unchanged: return journal_.settle(object, ChangeState::restored);
        case Kind::lowered:
        case Kind::in_use:
        case Kind::failed: return journal_.undoing(object, true); // whoever can goes on with it
        case Kind::foreign: return record_foreign(object, restored);
        case Kind::gone: return journal_.release(object);
        case Kind::not_reached: // is marked already
        case Kind::would_restore:
        case Kind::would_lower: return {};
        }
        std::unreachable();
    }

    // The limit of a socket is never someone else's.
    Result<> record_foreign(const ObjectKey& object, const Restored& restored) {
        if (is_of_socket(object.tunable)) return journal_.let_go(object, restored.error);
        return journal_.yielded(object, fmt::format("someone else set it to {}", restored.found));
    }

    Journal& journal_;
    Writer& writer_;
    const RestoreOptions& options_;
    const std::vector<Holding>& held_;
    const MonoTime begun_;
    std::map<std::pair<TunableId, NetnsId>, std::vector<const Holding*>> bounded_; // what others bound
    std::vector<Restored> done_;
    std::size_t recorded_ = 0;                             // of those
    std::unordered_map<std::int64_t, std::size_t> places_; // among them, by id_of()
};

// What bounds others, or is never less than they, comes after them; what follows others as well.
bool restored_before(const Holding& a, const Holding& b) {
    const int rank_of_a = tunables::lowering_rank(a.tunable);
    const int rank_of_b = tunables::lowering_rank(b.tunable);
    return std::tuple(rank_of_a, a.tunable, b.rows.back()) < std::tuple(rank_of_b, b.tunable, a.rows.back());
}

void begin_with(std::vector<Holding>& holdings, std::int64_t row) {
    const auto first = std::ranges::find_if(
        holdings, [&](const Holding& holding) { return std::ranges::find(holding.rows, row) != holding.rows.end(); });
    if (first != holdings.end()) std::ranges::rotate(holdings, first);
}

} // namespace

std::string_view to_string(Restored::Kind kind) {
    switch (kind) {
    case Kind::restored: return "restored";
    case Kind::would_restore: return "would_restore";
    case Kind::lowered: return "lowered";
    case Kind::would_lower: return "would_lower";
    case Kind::in_use: return "in_use";
    case Kind::unchanged: return "unchanged";
    case Kind::gone: return "gone";
    case Kind::foreign: return "foreign";
    case Kind::failed: return "failed";
    case Kind::not_reached: return "not_reached";
    }
    std::unreachable();
}

Result<std::vector<Restored>> restore(Journal& journal, Writer& writer, const RestoreOptions& options) {
    auto holdings = journal.holdings();
    if (!holdings) return with_context(holdings.error(), "restore");
    // What cannot be recorded is put back all the same.
    if (!options.dry_run && !options.only_begun) (void)journal.all_undoing();
    std::ranges::sort(*holdings, restored_before);
    begin_with(*holdings, options.first);
    Restoration restoration(journal, writer, options, *holdings);
    for (const Holding& holding : *holdings) {
        if (options.only_begun && !holding.undoing) continue;
        if (options.left_out && options.left_out(key_of(holding.tunable, holding.scope))) continue;
        restoration.restore(holding);
    }
    return restoration.take();
}

} // namespace bpftune::actuators

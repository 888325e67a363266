// SPDX-License-Identifier: Apache-2.0
#include "controller/gate.hpp"

#include <algorithm>
#include <bit>

#include <fmt/format.h>

#include "tunables/catalog.hpp"

namespace bpftune::controller {
namespace {

std::string mebibytes(std::uint64_t bytes) { return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / 1048576); }

Decision decision(Decision::Act act, Wish wish) {
    return {act,     wish.tunable,        std::move(wish.scope),    wish.from,
            wish.to, std::move(wish.why), std::move(wish.evidence), wish.event};
}

} // namespace

policy::Mode Gate::mode_of(const Wish& wish) const {
    // What the application asked for is no override: it follows somaxconn, and listener.backlog only where it is named.
    if (wish.within_asked && !policy_.of(wish.tunable).named) return policy_.mode_of(TunableId::somaxconn);
    return policy_.mode_of(wish.tunable);
}

// What the raises that stand cost at worst is spent; the rest is left.
std::uint64_t Gate::budget_left() const {
    std::uint64_t spent = 0;
    for (const auto& [key, held] : state_.held)
        if (held.current > held.original)
            spent += (held.current - held.original) * tunables::row(key.tunable).unit_bytes;
    const std::uint64_t budget = policy_.budget_bytes(memory_bytes_);
    return budget > spent ? budget - spent : 0;
}

bool Gate::too_soon(const ObjectKey& key, const Wish& wish) const {
    if (const auto failed = state_.retry_after.find(key); failed != state_.retry_after.end() && now_ < failed->second)
        return true;
    const auto held = state_.held.find(key);
    return held != state_.held.end() && !wish.urgent && now_ < held->second.since + cooldown;
}

bool Gate::fit_bounds(Wish& wish) {
    const std::uint64_t max = policy_.of(wish.tunable).max;
    if (wish.to <= max) return true;
    if (wish.from >= max) {
        wish.why += fmt::format("; not raised to {}: the policy's max is {}", wish.to, max);
        say(wish, "max");
        return false;
    }
    wish.why += fmt::format("; {} would be needed, the policy's max is {}", wish.to, max);
    wish.to = max;
    return true;
}

bool Gate::fit_budget(Wish& wish) {
    const std::uint64_t unit = tunables::row(wish.tunable).unit_bytes;
    const std::uint64_t left = budget_left();
    const std::uint64_t cost = (wish.to - wish.from) * unit;
    if (cost <= left) return true;
    const std::uint64_t fits = std::bit_floor(wish.from + left / unit);
    const std::string refusal =
        fmt::format("{} would cost up to {}, memoryBudget has {} left", wish.to, mebibytes(cost), mebibytes(left));
    if (fits <= wish.from) {
        wish.why += "; not raised: " + refusal;
        say(wish, "budget");
        return false;
    }
    wish.why += "; " + refusal;
    wish.to = fits;
    return true;
}

void Gate::write(const ObjectKey& key, Wish wish) {
    const auto [entry, is_new] = state_.held.try_emplace(key);
    Held& held = entry->second;
    if (is_new) held.original = wish.from;
    held.scope = wish.scope;
    held.current = wish.to;
    held.since = held.clean_since = now_;
    held.on_trial = true;
    decisions_.push_back(decision(Decision::Act::write, std::move(wish)));
}

std::uint64_t Gate::raise(Wish wish) {
    const std::uint64_t from = wish.from;
    const ObjectKey key = key_of(wish.tunable, wish.scope);
    if (wish.to <= from || state_.yielded.contains(key) || too_soon(key, wish)) return from;

    const policy::Mode mode = mode_of(wish);
    if (mode == policy::Mode::observe) {
        const auto& row = tunables::row(wish.tunable);
        if (!row.opt_in || policy_.of(wish.tunable).named) return from;
        wish.why += fmt::format("; raising it to {} needs {} named in the policy", wish.to, row.name);
        say(wish, "opt-in");
        return from;
    }
    if (!fit_bounds(wish) || !fit_budget(wish)) return from;
    if (mode == policy::Mode::recommend) {
        wish.why += "; not written: mode is recommend";
        say(std::move(wish), "mode");
        return from;
    }
    const std::uint64_t to = wish.to;
    write(key, std::move(wish));
    return to;
}

void Gate::say(Wish finding, std::string_view kind) {
    if (policy_.mode == policy::Mode::observe) return;
    const ObjectKey key = key_of(finding.tunable, finding.scope);
    Said& said = state_.said[key];
    // A wish that grew to twice of what was said is news.
    const bool news = said.why_kind != kind || finding.to >= 2 * said.to || now_ >= said.when + reminder;
    if (!news) return;
    said = {std::string(kind), std::max<std::uint64_t>(finding.to, 1), now_};
    decisions_.push_back(decision(Decision::Act::recommend, std::move(finding)));
}

} // namespace bpftune::controller

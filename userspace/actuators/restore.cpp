// SPDX-License-Identifier: Apache-2.0
#include "actuators/restore.hpp"

#include <algorithm>
#include <utility>

#include "core/parse.hpp"
#include "tunables/catalog.hpp"

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
        const auto parsed = parse_number(*text);
        if (!parsed) return with_context(parsed.error(), "the journal");
        *number = *parsed;
    }
    return numbers;
}

bool is_ours(const Holding& holding, const Numbers& numbers, std::uint64_t value) {
    return value == numbers.current || (!holding.confirmed && value == numbers.previous);
}

Restored result(const Holding& holding, Kind kind, std::string found = {}, std::string error = {}) {
    return {.holding = holding, .kind = kind, .found = std::move(found), .error = std::move(error)};
}

Restored failed(const Holding& holding, const Error& error) {
    return result(holding, error.code == ESTALE ? Kind::gone : Kind::failed, {}, error.message);
}

Restored put_back(Writer& writer, const Holding& holding, std::uint64_t value, std::uint64_t original) {
    const Outcome outcome = writer.write(holding.tunable, holding.scope, value, original);
    switch (outcome.kind) {
    case Outcome::Kind::written: return result(holding, Kind::restored, std::to_string(value));
    case Outcome::Kind::conflict: return result(holding, Kind::foreign, std::to_string(outcome.value));
    case Outcome::Kind::gone: return result(holding, Kind::gone, {}, outcome.error);
    case Outcome::Kind::failed: return result(holding, Kind::failed, std::to_string(value), outcome.error);
    }
    std::unreachable();
}

Restored restore_one(Writer& writer, const Holding& holding, bool dry_run) {
    const auto numbers = numbers_of(holding);
    if (!numbers) return failed(holding, numbers.error());
    const auto value = writer.read(holding.tunable, holding.scope);
    if (!value) return failed(holding, value.error());
    if (*value == numbers->original) return result(holding, Kind::unchanged, std::to_string(*value));
    if (!is_ours(holding, *numbers, *value)) return result(holding, Kind::foreign, std::to_string(*value));
    if (dry_run) return result(holding, Kind::would_restore, std::to_string(*value));
    return put_back(writer, holding, *value, numbers->original);
}

Result<> record(Journal& journal, const Restored& restored) {
    const ObjectKey object = key_of(restored.holding.tunable, restored.holding.scope);
    switch (restored.kind) {
    case Kind::restored:
    case Kind::unchanged: return journal.settle(object, ChangeState::restored);
    case Kind::foreign: return journal.yielded(object, fmt::format("someone else set it to {}", restored.found));
    case Kind::gone: return journal.release(object);
    case Kind::would_restore:
    case Kind::failed: return {};
    }
    std::unreachable();
}

bool restored_before(const Holding& a, const Holding& b) {
    const auto is_listener = [](const Holding& holding) {
        return tunables::row(holding.tunable).kind == tunables::Kind::listener;
    };
    if (is_listener(a) != is_listener(b)) return is_listener(a);
    return a.rows.back() > b.rows.back();
}

} // namespace

std::string_view to_string(Restored::Kind kind) {
    switch (kind) {
    case Kind::restored: return "restored";
    case Kind::would_restore: return "would_restore";
    case Kind::unchanged: return "unchanged";
    case Kind::gone: return "gone";
    case Kind::foreign: return "foreign";
    case Kind::failed: return "failed";
    }
    std::unreachable();
}

Result<std::vector<Restored>> restore(Journal& journal, Writer& writer, bool dry_run) {
    auto holdings = journal.holdings();
    if (!holdings) return with_context(holdings.error(), "restore");
    std::ranges::sort(*holdings, restored_before);
    std::vector<Restored> all;
    for (const Holding& holding : *holdings) {
        Restored one = restore_one(writer, holding, dry_run);
        const auto recorded = dry_run ? Result<>{} : record(journal, one);
        if (!recorded) {
            one.error = fmt::format("{}, but not recorded: {}", to_string(one.kind), recorded.error().message);
            one.kind = Kind::failed;
        }
        all.push_back(std::move(one));
    }
    return all;
}

} // namespace bpftune::actuators

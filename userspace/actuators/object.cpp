// SPDX-License-Identifier: Apache-2.0
#include "actuators/object.hpp"

namespace bpftune::actuators {
namespace {

using tunables::Kind;
using tunables::Tunable;

Outcome outcome_of(const Error& error) {
    return {
        .kind = error.code == ESTALE ? Outcome::Kind::gone : Outcome::Kind::failed, .value = 0, .error = error.message};
}

template <class Object>
Outcome not_taken(const Object& object, std::uint64_t from, std::uint64_t to, std::uint64_t got) {
    const auto undone = object.set(from);
    return {.kind = Outcome::Kind::failed,
            .value = got,
            .error = fmt::format("wrote {}, but {} was read back; {}", to, got,
                                 undone ? fmt::format("put {} back", from)
                                        : fmt::format("putting {} back failed: {}", from, undone.error().message))};
}

template <class Object> Outcome compare_and_set(const Object& object, std::uint64_t from, std::uint64_t to) {
    const auto before = object.value();
    if (!before) return outcome_of(before.error());
    if (*before != from) return {.kind = Outcome::Kind::conflict, .value = *before, .error = {}};
    if (const auto set = object.set(to); !set) return outcome_of(set.error());
    const auto after = object.value();
    if (!after) return outcome_of(after.error());
    if (*after != to) return not_taken(object, from, to, *after);
    return {.kind = Outcome::Kind::written, .value = *after, .error = {}};
}

template <class Object> Outcome compare_and_set(const Result<Object>& object, std::uint64_t from, std::uint64_t to) {
    return object ? compare_and_set(*object, from, to) : outcome_of(object.error());
}

template <class Object> Result<std::uint64_t> value_of(const Result<Object>& object) {
    if (!object) return std::unexpected(object.error());
    return object->value();
}

} // namespace

Result<std::uint64_t> read_object(const Tunable& tunable, const Scope& scope) {
    if (tunable.kind == Kind::listener) return value_of(ListeningSocket::fetch(scope));
    return value_of(Sysctl::open(tunable, scope, Sysctl::For::reading));
}

Outcome write_object(const Tunable& tunable, const Scope& scope, std::uint64_t from, std::uint64_t to) {
    if (tunable.kind == Kind::listener) return compare_and_set(ListeningSocket::fetch(scope), from, to);
    return compare_and_set(Sysctl::open(tunable, scope, Sysctl::For::writing), from, to);
}

} // namespace bpftune::actuators

// SPDX-License-Identifier: Apache-2.0
// How a tunable's value stands in its file below /proc/sys or /sys: by itself, or as one of several numbers
// (Tunable::field), as that number, what it is short of another (Tunable::counts_down_from), a word (Tunable::words),
// or a set of CPUs (Tunable::is_cpus), of which each bit of the value is one. Whoever writes a policy or reads the
// history sees what is in the file; between these two everything else knows the value.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/change.hpp"
#include "core/result.hpp"
#include "core/snapshot.hpp"
#include "core/time.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::tunables {

// What the file says of this value, and back.
std::string text_of(const Tunable& tunable, std::uint64_t value);
std::string text_of(TunableId tunable, std::uint64_t value);
Result<std::uint64_t> value_of(const Tunable& tunable, std::string_view text);
Result<std::uint64_t> value_of(TunableId tunable, std::string_view text);
// The same of what a kernel said, which may be none of its values: nullopt.
std::optional<std::uint64_t> known_value(TunableId tunable, std::string_view text);

// Of the whole file.
Result<std::uint64_t> value_in(const Tunable& tunable, std::string_view text);

// The same of what somebody was about to write. nullopt: none that the kernel takes.
std::optional<std::uint64_t> value_in(const Tunable& tunable, const SysctlWrite& write);

// What is to be written in place of `text`, so that all else of it stays.
Result<std::string> text_with(const Tunable& tunable, std::string_view text, std::uint64_t value);

// The row of a decision, without what only the journal knows.
Change change_of(const Decision& decision, WallTime time, ChangeState state);

} // namespace bpftune::tunables

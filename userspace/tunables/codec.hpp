// SPDX-License-Identifier: Apache-2.0
// How a tunable's value stands in its file below /proc/sys: by itself, or as one of several numbers (Tunable::field),
// and as that number or what it is short of another (Tunable::counts_down_from).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "core/snapshot.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::tunables {

Result<std::uint64_t> value_in(const Tunable& tunable, std::string_view text);

// The same of what somebody was about to write. nullopt: none that the kernel takes.
std::optional<std::uint64_t> value_in(const Tunable& tunable, const SysctlWrite& write);

// What is to be written in place of `text`, so that all else of it stays.
Result<std::string> text_with(const Tunable& tunable, std::string_view text, std::uint64_t value);

} // namespace bpftune::tunables

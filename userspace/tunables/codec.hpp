// SPDX-License-Identifier: Apache-2.0
// How a tunable's value stands in its file below /proc/sys: by itself, or as one of several numbers (Tunable::field).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "core/result.hpp"
#include "tunables/catalog.hpp"

namespace bpftune::tunables {

Result<std::uint64_t> value_in(const Tunable& tunable, std::string_view text);

// What is to be written in place of `text`, so that all else of it stays.
Result<std::string> text_with(const Tunable& tunable, std::string_view text, std::uint64_t value);

} // namespace bpftune::tunables

// SPDX-License-Identifier: Apache-2.0
// What the local API is asked: one JSON object. What is not understood to the last key is refused: a misspelt "dry_run"
// is no order to restore.
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace bpftune::service {

inline constexpr unsigned api_version = 1; // of a request that names none

struct Request {
    enum class Command { top, restore, record, policy, health };
    Command command = Command::top;
    bool dry_run = false; // of `restore`
    bool now = false;     // of `restore`: whatever is in use
    std::string pod;      // of `policy`: what holds for this one; empty: for all
};

// The error says where in the line, or at which key, and what is wanted there; fit to print.
Result<Request> parse_request(std::string_view line);

} // namespace bpftune::service

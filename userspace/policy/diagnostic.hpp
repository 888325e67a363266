// SPDX-License-Identifier: Apache-2.0
// One problem of a policy file, with its place.
#pragma once

#include <cstddef>
#include <string>

namespace bpftune::policy {

struct Diagnostic {
    std::size_t line = 0;   // from 1
    std::size_t column = 0; // from 1, in code points
    std::string message;    // lower case, no full stop
    std::string hint;       // empty: none
};

} // namespace bpftune::policy

// SPDX-License-Identifier: Apache-2.0
// Sysctls that guides tell to set against losses that they do not cure, or for a gain that cannot be seen here. Nothing
// tunes them: a policy may expect something of them.
#pragma once

#include <span>
#include <string_view>

namespace bpftune::tunables {

struct NotTuned {
    std::string_view name; // "net.ipv4.tcp_fin_timeout"
    std::string_view example;
    std::string_view why_not;
};

std::span<const NotTuned> not_tuned();

const NotTuned* find_not_tuned(std::string_view name); // nullptr: it is none of these

} // namespace bpftune::tunables

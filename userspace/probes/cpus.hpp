// SPDX-License-Identifier: Apache-2.0
// Sets of CPUs in files of the kernel's.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "core/cpus.hpp"
#include "core/result.hpp"

namespace bpftune::probes {

// What the first line of a file says; nullopt: it was not read, or says something else.
inline std::optional<Cpus> cpus_in(const Result<std::string>& text) {
    if (!text) return std::nullopt;
    const auto cpus = parse_cpus(std::string_view(*text).substr(0, text->find('\n')));
    return cpus ? std::optional(*cpus) : std::nullopt;
}

} // namespace bpftune::probes

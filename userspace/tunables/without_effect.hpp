// SPDX-License-Identifier: Apache-2.0
// Sysctls that guides tell to set and that nothing reads any more, or that may be so on the running kernel. They are no
// tunables: nothing raises them.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace bpftune::tunables {

struct WithoutEffect {
    std::string_view name; // "net.ipv4.route.max_size"
    std::string_view path; // below /proc/sys
    std::string_view why;
    // It does nothing where a new network namespace has this value; nullopt: on every kernel that this program runs on.
    // Kernels have it from their distributors as well, so their version does not tell.
    std::optional<std::uint64_t> in_new_netns;
    std::string_view instead = {}; // what to write; empty: nothing
};

std::span<const WithoutEffect> without_effect();

const WithoutEffect* find_without_effect(std::string_view name); // nullptr: none of these, which may have an effect

} // namespace bpftune::tunables

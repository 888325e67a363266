// SPDX-License-Identifier: Apache-2.0
// What a policy names though it does nothing on the running kernel.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/policy.hpp"

namespace bpftune::service {

// The value that a sysctl (below /proc/sys) has in a network namespace that is made for this and gone when it returns;
// nullopt: it has none, is no number, or none may be made (CAP_SYS_ADMIN).
std::optional<std::uint64_t> value_in_new_netns(std::string_view sysctl);

struct NamedInVain {
    std::string name; // in the policy
    std::string why;

    bool operator==(const NamedInVain&) const = default;
};

// The same in the network namespace of the caller.
std::optional<std::uint64_t> value_here(std::string_view sysctl);

using ValueOf = std::function<std::optional<std::uint64_t>(std::string_view sysctl)>;

// What value_in_new_netns() says now of all that named_in_vain() may ask of it, from one namespace: for who will have
// no right to make another.
ValueOf values_in_new_netns();

// Of what the policy expects, in its order; then of the tunables that it names. What cannot be known is left out.
std::vector<NamedInVain> named_in_vain(const policy::Policy& policy, const ValueOf& in_new_netns = value_in_new_netns,
                                       const ValueOf& here = value_here);

// "net.ipv6.route.max_size does nothing here: ..."
std::string sentence(const NamedInVain& named);

} // namespace bpftune::service

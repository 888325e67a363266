// SPDX-License-Identifier: Apache-2.0
// What the policy expects of the node's own sysctls: whether it holds, and who is likely to have changed it. Nothing is
// ever written for it, so it has no decisions: what is said goes to the log, to `top` and to the metrics.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/snapshot.hpp"

namespace bpftune::controller {

// What is known of one that is expected.
struct Watched {
    std::optional<MonoTime> right;   // the last tick that found it as expected
    std::optional<Unexpected> wrong; // nullopt: it is as expected
};
using Watch = std::map<std::string, Watched>; // by its path below /proc/sys

struct News {
    std::string name;        // in the policy
    std::string sysctl;      // below /proc/sys
    bool is_wrong = false;   // else it is as expected again
    bool from_start = false; // it was never seen right, and nobody was seen to set it: files may tell
};

// What a tick has found to have become wrong, wrong in another way, or right again. The rest has been said.
std::vector<News> watch_expected(Watch& watch, const Snapshot& snapshot);

// Whether this is one that is expected: a write of it is looked after at once.
bool is_expected(const Snapshot& snapshot, const NetnsId& netns, std::string_view sysctl);

// "net.ipv4.ip_forward is 0 and not 1, as the policy expects: evil (pid 12) set it"
std::string sentence(const Unexpected& wrong);

} // namespace bpftune::controller

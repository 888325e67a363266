// SPDX-License-Identifier: Apache-2.0
#include "controller/expect.hpp"

#include <algorithm>

#include <fmt/format.h>

#include "controller/conflict.hpp"
#include "core/text.hpp"
#include "policy/policy.hpp"

namespace bpftune::controller {
namespace {

constexpr std::size_t shown_columns = 80; // of a value

bool is_about(std::string_view sysctl, const ExpectedSysctl& each) {
    return sysctl == each.sysctl || sysctl == policy::other_name(each.sysctl);
}

// The kernel takes 0x0 for 0, and shows 0.
bool makes_it(const SysctlWrite& write, std::string_view value) {
    if (is_same_setting(write.text, value)) return true;
    if (!write.value) return false;
    std::string numbers = fmt::to_string(*write.value);
    for (const std::uint64_t more : write.more) numbers += fmt::format(" {}", more);
    return is_same_setting(numbers, value);
}

// The first write of what was found since it was last right: who repeats it afterwards has changed nothing.
const SysctlWrite* find_culprit(const Snapshot& snapshot, const ExpectedSysctl& each, std::optional<MonoTime> right) {
    const SysctlWrite* culprit = nullptr;
    for (const SysctlWrite& write : snapshot.sysctl_writes) {
        if (!is_about(write.sysctl, each) || !is_same_netns(write.netns, snapshot.host) ||
            (right && write.time <= *right))
            continue;
        if (makes_it(write, each.expected)) culprit = nullptr;
        if (culprit == nullptr && makes_it(write, *each.found)) culprit = &write;
    }
    return culprit;
}

std::string why(const Snapshot& snapshot, const ExpectedSysctl& each, const SysctlWrite* culprit, bool from_start) {
    if (!each.found) return each.why_not;
    if (culprit != nullptr) return name_of(*culprit) + " set it";
    if (from_start) return "it was so when it was first looked at";
    if (snapshot.source(Probe::sysctl) == Rung::cgroup) return "it was not seen who set it";
    return "it is not known who set it, since `sysctl` is not by cgroup here";
}

// Said already: the same value, or the same reason for none.
bool is_known(const std::optional<Unexpected>& wrong, const ExpectedSysctl& each) {
    return wrong && wrong->expected == each.expected && wrong->found == each.found &&
           (each.found || wrong->why == each.why_not);
}

} // namespace

std::vector<News> watch_expected(Watch& watch, const Snapshot& snapshot) {
    std::vector<News> news;
    Watch now;
    for (const ExpectedSysctl& each : snapshot.expected) {
        Watched& watched = now[each.sysctl];
        if (const auto before = watch.find(each.sysctl); before != watch.end()) watched = before->second;
        if (each.is_met()) {
            if (watched.wrong) news.push_back({.name = each.name, .sysctl = each.sysctl});
            watched = {.right = snapshot.time.mono, .wrong = std::nullopt};
            continue;
        }
        // What comes after it is another, of a device that is made anew say: nobody has set that yet.
        if (each.absent) watched.right = snapshot.time.mono;
        if (is_known(watched.wrong, each)) continue;
        const SysctlWrite* culprit = each.found ? find_culprit(snapshot, each, watched.right) : nullptr;
        const bool from_start = each.found && culprit == nullptr && !watched.right && !watched.wrong;
        watched.wrong = Unexpected{each.name, each.expected, each.found, why(snapshot, each, culprit, from_start)};
        news.push_back({.name = each.name, .sysctl = each.sysctl, .is_wrong = true, .from_start = from_start});
    }
    watch = std::move(now);
    return news;
}

bool is_expected(const Snapshot& snapshot, const NetnsId& netns, std::string_view sysctl) {
    return is_same_netns(netns, snapshot.host) &&
           std::ranges::any_of(snapshot.expected, [&](const ExpectedSysctl& each) { return is_about(sysctl, each); });
}

std::string sentence(const Unexpected& wrong) {
    if (!wrong.found)
        return fmt::format("{} is not {}, as the policy expects: {}", wrong.name, wrong.expected, wrong.why);
    return fmt::format("{} is {} and not {}, as the policy expects: {}", wrong.name,
                       wrong.found->empty() ? "empty" : truncated(*wrong.found, shown_columns), wrong.expected,
                       wrong.why);
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "service/pod_policy.hpp"

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/text.hpp"

namespace bpftune::service {
namespace {

bool is_called(const PodFacts& facts, std::string_view name) {
    return facts.pod.uid == name || (!facts.pod.ns.empty() && facts.pod.ns + "/" + facts.pod.name == name);
}

struct Called {
    const PodFacts* facts = nullptr;
    std::optional<WallTime> made; // its last sandbox; nullopt: the runtime does not list it
};

std::optional<WallTime> made(const std::string& uid, const kube::Listing* listing) {
    std::optional<WallTime> last;
    if (listing == nullptr) return last;
    for (const kube::Sandbox& sandbox : listing->sandboxes)
        if (sandbox.uid == uid)
            last = std::max(
                last, std::optional(WallTime(std::chrono::floor<WallTime::duration>(Nanoseconds(sandbox.created_ns)))));
    return last;
}

// The newest first; those that the runtime does not list last.
std::vector<Called> all_called(const Snapshot& snapshot, std::string_view name, const kube::Listing* listing) {
    std::vector<Called> found;
    for (const PodFacts& each : snapshot.pods)
        if (is_called(each, name)) found.push_back({.facts = &each, .made = made(each.pod.uid, listing)});
    std::ranges::stable_sort(found, std::ranges::greater(), &Called::made);
    return found;
}

std::string in_words(const Called& pod) {
    return pod.facts->pod.uid + (pod.made ? ", made " + to_string(*pod.made) : ", which no runtime lists");
}

// What is to be said where there are several.
std::vector<std::string> lines_of(const std::vector<Called>& found) {
    constexpr std::size_t most_others = 5;
    std::vector<std::string> lines;
    if (found.size() < 2) return lines;
    lines.push_back(fmt::format("{} pods have this name. This is about {}{}", found.size(), in_words(found[0]),
                                found[0].made ? ": the newest" : "; which is the newest is not known"));
    for (std::size_t i = 1; i < found.size() && i <= most_others; ++i)
        lines.push_back(fmt::format("not about {}: --pod {} is", in_words(found[i]), found[i].facts->pod.uid));
    if (found.size() > most_others + 1) lines.push_back(fmt::format("nor {} more", found.size() - most_others - 1));
    return lines;
}

} // namespace

Result<policy::ShownFor> shown_for(const policy::Policy& policy, const Snapshot& snapshot, std::string_view pod,
                                   const kube::Listing* listing) {
    const auto found = all_called(snapshot, pod, listing);
    if (found.empty())
        return failure("no pod {} is known here, of {} that are; a pod whose name is not known is called by its UID",
                       truncated(printable(pod), 120), snapshot.pods.size());
    const PodFacts& facts = *found.front().facts;
    policy::ShownFor shown = policy::show_for(policy, {.pod = &facts.pod, .facts = &facts});
    const auto lines = lines_of(found);
    shown.lines.insert(shown.lines.begin(), lines.begin(), lines.end());
    return shown;
}

} // namespace bpftune::service

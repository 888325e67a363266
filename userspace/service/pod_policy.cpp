// SPDX-License-Identifier: Apache-2.0
#include "service/pod_policy.hpp"

#include <algorithm>

#include "core/text.hpp"

namespace bpftune::service {
namespace {

bool is_called(const PodFacts& facts, std::string_view name) {
    return facts.pod.uid == name || (!facts.pod.ns.empty() && facts.pod.ns + "/" + facts.pod.name == name);
}

} // namespace

Result<policy::ShownFor> shown_for(const policy::Policy& policy, const Snapshot& snapshot, std::string_view pod) {
    const auto facts = std::ranges::find_if(snapshot.pods, [&](const PodFacts& each) { return is_called(each, pod); });
    if (facts == snapshot.pods.end())
        return failure("no pod {} is known here, of {} that are; a pod whose name is not known is called by its UID",
                       truncated(printable(pod), 120), snapshot.pods.size());
    return policy::show_for(policy, {.pod = &facts->pod, .facts = &*facts});
}

} // namespace bpftune::service

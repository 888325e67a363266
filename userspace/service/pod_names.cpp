// SPDX-License-Identifier: Apache-2.0
#include "service/pod_names.hpp"

#include <utility>

#include "sys/clock.hpp"

namespace bpftune::service {

PodNames::PodNames(Runtime runtime)
    : runtime_(std::move(runtime)), owners_(kube::processes_of(), kube::Pods(kube::PodLogs(), runtime_.ask)) {}

void PodNames::name(Snapshot& snapshot) {
    if (runtime_.listing) owners_.take(runtime_.listing());
    owners_.name(snapshot, sys::now().mono);
}

} // namespace bpftune::service

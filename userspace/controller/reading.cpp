// SPDX-License-Identifier: Apache-2.0
#include "controller/reading.hpp"

#include <algorithm>
#include <numeric>

#include "controller/resource.hpp"

namespace bpftune::controller {

Scope Reading::scope() const {
    if (listener != nullptr) return scope_of(*listener);
    if (udp != nullptr) return scope_of(*udp);
    if (device != nullptr) return scope_of(*device);
    if (interrupt != nullptr) return scope_of(*interrupt);
    return {.netns = object.netns,
            .netns_pid = netns_pid,
            .listener = std::nullopt,
            .pod = pod != nullptr ? *pod : std::nullopt};
}

Readings::Readings(const View& view) {
    const Snapshot& snapshot = view.snapshot;
    readings_.reserve(snapshot.listeners.size() + 2 * snapshot.tcp.size() + snapshot.conntrack.size() + 2);
    for (const Resource& resource : resources()) resource.read(view, readings_);
    order_.resize(readings_.size());
    std::iota(order_.begin(), order_.end(), 0U);
    const auto object = [this](std::uint32_t at) -> const ObjectKey& { return readings_[at].object; };
    if (!std::ranges::is_sorted(order_, {}, object)) std::ranges::sort(order_, {}, object);
}

Readings::Readings(const Snapshot& snapshot)
    : Readings(View{.snapshot = snapshot, .state = State{}, .asks = [](auto, const auto&) { return true; }}) {}

const Reading* Readings::find(const ObjectKey& object) const {
    const auto found =
        std::ranges::lower_bound(order_, object, {}, [this](std::uint32_t at) { return readings_[at].object; });
    return found == order_.end() || readings_[*found].object != object ? nullptr : &readings_[*found];
}

} // namespace bpftune::controller

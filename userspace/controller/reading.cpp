// SPDX-License-Identifier: Apache-2.0
#include "controller/reading.hpp"

#include <algorithm>
#include <numeric>
#include <string>
#include <utility>

#include "controller/resource.hpp"

namespace bpftune::controller {
namespace {

// The memory of the last ones, for the next: 2 MiB at 5,000 listeners, which the kernel would have to map and clear
// anew at each step.
struct Spare {
    std::vector<Reading> readings;
    std::size_t most = 0; // that were in it
};
thread_local Spare spare; // NOLINT(cppcoreguidelines-avoid-non-const-global-variables): no step sees what was in it

} // namespace

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

Measured Reading::measured_for(const std::string& tenant) const {
    if (tenant.empty() || !measured_of_tenants) return measured;
    const auto own = measured_of_tenants->find(tenant);
    return own != measured_of_tenants->end() ? own->second : Measured{};
}

Readings::Readings(const View& view) : readings_(std::exchange(spare.readings, {})) {
    const Snapshot& snapshot = view.snapshot;
    // At most one of a resource for each row: what is not used of it is never touched.
    const std::size_t of_namespaces = snapshot.tcp.size() + snapshot.buffers.size() + snapshot.conntrack.size();
    readings_.reserve(snapshot.listeners.size() + snapshot.udp.size() + (of_namespaces + 8) * resources().size());
    for (const Resource& resource : resources()) resource.read(view, readings_);
    order_.resize(readings_.size());
    std::iota(order_.begin(), order_.end(), 0U);
    const auto object = [this](std::uint32_t at) -> const ObjectKey& { return readings_[at].object; };
    if (!std::ranges::is_sorted(order_, {}, object)) std::ranges::sort(order_, {}, object);
}

Readings::Readings(const Snapshot& snapshot)
    : Readings(View{.snapshot = snapshot, .state = State{}, .asks = [](auto, const auto&) { return true; }}) {}

Readings::~Readings() {
    const std::size_t size = readings_.size();
    spare.most = std::max(spare.most, size);
    if (spare.most > 4 * size + 1000)
        spare.most = 0; // for many more than there are now: it goes back
    else
        spare.readings = std::move(readings_);
    spare.readings.clear();
}

const Reading* Readings::find(const ObjectKey& object) const {
    const auto found =
        std::ranges::lower_bound(order_, object, {}, [this](std::uint32_t at) { return readings_[at].object; });
    return found == order_.end() || readings_[*found].object != object ? nullptr : &readings_[*found];
}

} // namespace bpftune::controller

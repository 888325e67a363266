// SPDX-License-Identifier: Apache-2.0
#include "controller/reading.hpp"

#include <algorithm>
#include <memory>
#include <numeric>
#include <utility>

#include "controller/resource.hpp"
#include "tunables/catalog.hpp"

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

Readings::Readings(const View& view, std::shared_ptr<ReadingsMemory> in, Spare* spare)
    : in_(in != nullptr ? std::move(in) : std::make_shared<ReadingsMemory>()), spare_(spare),
      is_whole_(view.snapshot.cause == Snapshot::Cause::tick) {
    const Snapshot& snapshot = view.snapshot;
    // At most one of a resource for each row: what is not used of it is never touched.
    const std::size_t of_namespaces = snapshot.tcp.size() + snapshot.buffers.size() + snapshot.conntrack.size();
    in_->readings.reserve(snapshot.listeners.size() + snapshot.udp.size() + (of_namespaces + 8) * resources().size());
    for (const Resource& resource : resources()) resource.read(view, in_->readings);
    put_in_order();
}

Readings::Readings(const View& view, Spare& spare) : Readings(view, std::exchange(spare.readings, nullptr), &spare) {}

Readings::Readings(const Snapshot& snapshot)
    : Readings(View{.snapshot = snapshot, .state = State{}, .asks = [](auto, const auto&) { return true; }}, nullptr,
               nullptr) {}

Readings::~Readings() {
    if (spare_ == nullptr) return;
    const std::size_t size = in_->readings.size();
    in_->most = std::max(in_->most, size);
    if (is_whole_ && in_->most > 4 * size + 1000) return; // for many more than there are now: it goes back
    in_->readings.clear();
    spare_->readings = std::move(in_);
}

// Whether the order of the readings before is that of these: at most ticks the same objects are there as at the last.
bool Readings::are_in_order() const {
    const auto& [readings, order, begins, most] = *in_;
    if (order.size() != readings.size() || begins.empty()) return false;
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
        const ObjectKey* before = nullptr;
        for (std::uint32_t at = begins[i]; at < begins[i + 1]; ++at) {
            const ObjectKey& object = readings[order[at]].object;
            if (static_cast<std::size_t>(object.tunable) != i || (before != nullptr && object < *before)) return false;
            before = &object;
        }
    }
    return true;
}

// By tunable, and then by place: in that order most resources add theirs.
void Readings::put_in_order() {
    if (are_in_order()) return;
    auto& [readings, order, begins, most] = *in_;
    const auto tunable = [](const Reading& reading) { return static_cast<std::size_t>(reading.object.tunable); };
    begins.assign(tunables::catalog().size() + 2, 0);
    for (const Reading& reading : readings) ++begins[tunable(reading) + 2];
    std::partial_sum(begins.begin(), begins.end(), begins.begin());
    order.resize(readings.size());
    for (std::uint32_t at = 0; at < readings.size(); ++at) order[begins[tunable(readings[at]) + 1]++] = at;
    begins.pop_back(); // each is where the one before it ends by now
    const auto object = [&](std::uint32_t at) -> const ObjectKey& { return readings[at].object; };
    for (std::size_t i = 0; i + 1 < begins.size(); ++i) {
        const std::span places(order.begin() + begins[i], order.begin() + begins[i + 1]);
        if (!std::ranges::is_sorted(places, {}, object)) std::ranges::sort(places, {}, object);
    }
}

std::span<const std::uint32_t> Readings::places_of(TunableId tunable) const {
    const auto i = static_cast<std::size_t>(tunable);
    return std::span(in_->order).subspan(in_->begins[i], in_->begins[i + 1] - in_->begins[i]);
}

const Reading* Readings::find(const ObjectKey& object) const {
    const std::vector<Reading>& readings = in_->readings;
    const auto places = places_of(object.tunable);
    const auto found = std::ranges::lower_bound(
        places, object, {}, [&](std::uint32_t at) -> const ObjectKey& { return readings[at].object; });
    return found == places.end() || readings[*found].object != object ? nullptr : &readings[*found];
}

} // namespace bpftune::controller

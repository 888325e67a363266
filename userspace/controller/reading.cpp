// SPDX-License-Identifier: Apache-2.0
#include "controller/reading.hpp"

#include <algorithm>

#include "controller/resource.hpp"

namespace bpftune::controller {

Readings::Readings(const View& view) {
    for (const Resource& resource : resources()) resource.read(view, readings_);
    if (!std::ranges::is_sorted(readings_, {}, &Reading::object)) std::ranges::sort(readings_, {}, &Reading::object);
}

Readings::Readings(const Snapshot& snapshot)
    : Readings(View{.snapshot = snapshot, .state = State{}, .asks = [](auto, const auto&) { return true; }}) {}

const Reading* Readings::find(const ObjectKey& object) const {
    const auto found = std::ranges::lower_bound(readings_, object, {}, &Reading::object);
    return found == readings_.end() || found->object != object ? nullptr : &*found;
}

} // namespace bpftune::controller

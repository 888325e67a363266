// SPDX-License-Identifier: Apache-2.0
#include "controller/resource.hpp"

namespace bpftune::controller {

void forget_demand(State& state, const ObjectKey& object, Forget what) {
    for (const Resource& resource : resources())
        if (resource.forget_demand != nullptr) resource.forget_demand(state, object, what);
}

} // namespace bpftune::controller

// SPDX-License-Identifier: Apache-2.0
#include "service/cpu_share.hpp"

#include <algorithm>

namespace bpftune::service {

Nanoseconds CpuShare::rest(Nanoseconds used, MonoTime now) {
    const auto earned = std::chrono::duration_cast<Nanoseconds>((now - at_) * share_);
    left_ = std::min(burst_, left_ + earned) - (used - used_);
    used_ = used;
    at_ = now;
    if (left_ >= Nanoseconds::zero()) return Nanoseconds::zero();
    return std::chrono::duration_cast<Nanoseconds>(-left_ / share_);
}

} // namespace bpftune::service

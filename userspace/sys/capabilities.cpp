// SPDX-License-Identifier: Apache-2.0
#include "sys/capabilities.hpp"

#include <algorithm>
#include <memory>

#include <sys/capability.h>
#include <sys/prctl.h>

namespace bpftune::sys {
namespace {

struct Release {
    void operator()(cap_t state) const { cap_free(state); }
};
using State = std::unique_ptr<std::remove_pointer_t<cap_t>, Release>;

// What exec() could give back.
void drop_bounding_set(std::span<const int> kept) {
    for (cap_value_t value = 0; value < cap_max_bits(); ++value)
        if (std::ranges::find(kept, value) == kept.end()) cap_drop_bound(value);
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
}

} // namespace

bool has_capability(int capability) {
    const State state(cap_get_proc());
    cap_flag_value_t effective = CAP_CLEAR;
    return state && cap_get_flag(state.get(), capability, CAP_EFFECTIVE, &effective) == 0 && effective == CAP_SET;
}

Result<> keep_capabilities(std::span<const int> kept) {
    drop_bounding_set(kept);
    const State have(cap_get_proc());
    const State keep(cap_init());
    if (!have || !keep) return system_failure(errno, "read the capabilities");
    for (const cap_value_t value : kept) {
        cap_flag_value_t permitted = CAP_CLEAR;
        cap_get_flag(have.get(), value, CAP_PERMITTED, &permitted);
        cap_set_flag(keep.get(), CAP_PERMITTED, 1, &value, permitted);
        cap_set_flag(keep.get(), CAP_EFFECTIVE, 1, &value, permitted);
    }
    cap_reset_ambient();
    if (cap_set_proc(keep.get()) != 0) return system_failure(errno, "give up capabilities");
    return {};
}

} // namespace bpftune::sys

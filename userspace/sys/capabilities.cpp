// SPDX-License-Identifier: Apache-2.0
#include "sys/capabilities.hpp"

#include <sys/capability.h>

namespace bpftune::sys {

bool has_capability(int capability) {
    const cap_t state = cap_get_proc();
    cap_flag_value_t effective = CAP_CLEAR;
    if (state == nullptr || cap_get_flag(state, capability, CAP_EFFECTIVE, &effective) != 0) effective = CAP_CLEAR;
    cap_free(state);
    return effective == CAP_SET;
}

} // namespace bpftune::sys

// SPDX-License-Identifier: Apache-2.0
#include "sys/clock.hpp"

namespace bpftune::sys {

Now now() {
    using namespace std::chrono;
    return {time_point_cast<Nanoseconds>(steady_clock::now()), time_point_cast<milliseconds>(system_clock::now())};
}

} // namespace bpftune::sys

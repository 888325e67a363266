// SPDX-License-Identifier: Apache-2.0
#include "sys/clock.hpp"

#include <ctime>

namespace bpftune::sys {

Now now() {
    using namespace std::chrono;
    return {time_point_cast<Nanoseconds>(steady_clock::now()), time_point_cast<milliseconds>(system_clock::now())};
}

Nanoseconds thread_cpu_time() {
    timespec used{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
    return std::chrono::seconds(used.tv_sec) + Nanoseconds(used.tv_nsec);
}

} // namespace bpftune::sys

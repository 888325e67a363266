// SPDX-License-Identifier: Apache-2.0
#include "sys/clock.hpp"

#include <ctime>

namespace bpftune::sys {

Now now() {
    using namespace std::chrono;
    return {time_point_cast<Nanoseconds>(steady_clock::now()), time_point_cast<milliseconds>(system_clock::now())};
}

namespace {

Nanoseconds read_clock(clockid_t clock) {
    timespec time{};
    ::clock_gettime(clock, &time);
    return std::chrono::seconds(time.tv_sec) + Nanoseconds(time.tv_nsec);
}

} // namespace

Nanoseconds since_boot() { return read_clock(CLOCK_BOOTTIME); }

Nanoseconds thread_cpu_time() { return read_clock(CLOCK_THREAD_CPUTIME_ID); }

} // namespace bpftune::sys
